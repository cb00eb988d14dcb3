"""Rerankers: models that score a text beside a query."""
