"""Sources: folders, files, records and rows that a program adds, read into documents."""
