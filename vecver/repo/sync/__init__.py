"""Sending versions between two stores: what is missing, its bytes, and the refs that name it at the end."""
