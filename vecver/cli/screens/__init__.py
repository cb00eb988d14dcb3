"""What commands show: one room a subject, each with its plain lines and its drawing. They ask no repository."""
