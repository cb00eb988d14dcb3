"""The command line: parse, call the face, render."""

from vecver.cli.app import main, program

__all__ = ["main", "program"]
