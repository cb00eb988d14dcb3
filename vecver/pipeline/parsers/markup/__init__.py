"""Markdown, reStructuredText, AsciiDoc, Org and LaTeX, with their front matter."""
