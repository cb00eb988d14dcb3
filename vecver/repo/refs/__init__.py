"""Names of versions: branches, tags, aliases, revisions, and the names of datasets."""
