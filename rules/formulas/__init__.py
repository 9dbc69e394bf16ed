"""One versioned formula a metric."""
