"""Train a decoder-only transformer on a source of known entropy."""
