"""The commands, a module for each task: parse, call vecver, draw."""
