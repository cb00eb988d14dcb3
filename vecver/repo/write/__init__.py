"""Writing the next version, and finding vectors that were computed before."""
