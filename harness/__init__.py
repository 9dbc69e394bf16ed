"""Runs one workload once and measures it."""
