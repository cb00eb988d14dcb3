"""The command line: parse, call the face, render."""

from vecver.cli.app import main

__all__ = ["main"]
