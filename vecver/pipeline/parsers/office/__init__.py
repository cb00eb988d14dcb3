"""Office documents, read with anydoc and checked against their own parts; RTF among them."""
