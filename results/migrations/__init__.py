"""The index's schema as numbered SQL files, each applied once and kept for ever."""
