"""Searching: from a question to answers with receipts."""
