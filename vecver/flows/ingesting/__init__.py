"""From a source to a commit."""
