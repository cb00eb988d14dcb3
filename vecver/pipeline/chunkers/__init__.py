"""Cut documents' text into chunks: `blocks` -> `pieces` -> `chunk`."""
