"""PDF: pages read with liteparse and PDFium, laid out as Markdown."""
