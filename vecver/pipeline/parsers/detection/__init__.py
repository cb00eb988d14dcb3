"""Which format and which encoding some bytes have."""
