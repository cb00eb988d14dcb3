"""Embedders turn texts into vectors. `open` opens one by name or recipe; each kind has its own module."""
