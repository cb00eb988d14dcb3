"""Upkeep: folding segments, garbage collection, checking and repair."""
