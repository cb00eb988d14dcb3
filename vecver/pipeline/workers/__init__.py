"""Worker processes that parse: a pool that survives crashes, hangs and limits."""
