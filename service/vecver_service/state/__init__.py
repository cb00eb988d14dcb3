"""What a service keeps beside its repository, in one database: keys, jobs, first answers, the audit log.

database    connections and transactions        schema      the tables, and a new file
sqlite      opening files, SQLite's errors      migration   makes the database from an older vecver's files
files       files and folders that last         older_files what older vecvers kept in files
key_file    keys in a JSON file
"""
