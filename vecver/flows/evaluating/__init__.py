"""How good a version answers."""
