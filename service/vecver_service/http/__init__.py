"""HTTP itself: connections, what comes before and after every route, problems, replies, uploads."""
