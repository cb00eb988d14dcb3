"""Draw what commands print: plain lines for programs, colours and tables on a terminal. They read no repository."""
