"""Sources: read folders, files, records, and rows that a program passes, into documents."""
