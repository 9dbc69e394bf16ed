"""Read, write and seal one run's folder, the source of truth.

- names (its files), durable (writing that survives a crash), write, seal, read
- samples (per-document evidence), telemetry (what meters said), archive (a bundle in one `.tar.gz`)
"""
