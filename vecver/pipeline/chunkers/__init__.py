"""Documents' text to chunks: `blocks` -> `pieces` -> `chunk`."""
