"""Tokenizers: from texts to the terms that keyword search counts."""
