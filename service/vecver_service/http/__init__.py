"""HTTP: connections, middleware, problems, replies, multipart forms, uploads."""
