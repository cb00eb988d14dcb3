"""Versions into a Milvus, and out again."""
