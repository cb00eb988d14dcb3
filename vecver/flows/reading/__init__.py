"""Reading a version: its documents, its chunks, how many there are, and what filters may name."""
