"""Reading a version: its rows, its documents in order, what differs from another, and export."""
