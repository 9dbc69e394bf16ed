"""Reference workloads: protocols, integer randomness, then one folder a task."""
