"""The rulebook, version 1, as data."""
