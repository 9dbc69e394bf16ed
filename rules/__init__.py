"""The rulebook and its vocabulary; pure functions from evidence to judgement."""
