"""The terminal: where a command writes, progress, pages, Ctrl-C."""
