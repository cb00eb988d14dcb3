"""Indexes, folding, garbage and repair."""
