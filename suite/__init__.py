"""The front door: what is run together, and the command line over it."""
