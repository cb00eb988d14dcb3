"""The same handles over HTTP: `RemoteRepository`, `RemoteDataset`."""
