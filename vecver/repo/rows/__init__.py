"""Rows on disk: segments, the layouts that say which rows a version has, and the roots that prove them."""
