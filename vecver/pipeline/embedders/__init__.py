"""From texts to vectors: one way to open an embedder, and a room for each kind of them."""
