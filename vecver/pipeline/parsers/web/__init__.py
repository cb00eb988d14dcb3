"""HTML, XML and feeds as Markdown."""
