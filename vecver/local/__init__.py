"""The handles on a repository in a folder: `Repository`, `Dataset`, `Snapshot`."""
