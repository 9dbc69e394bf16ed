"""What a run left behind: bundles, the index over them, views of it.

- layout (where a store's files lie), liveness (which runs have a supervisor), identity (a store's own id and salt)
- bundle/ (write, seal and read one run's folder)
- ingest (bundles to judge to index), adopt (foreign bundles), rebuild (a new index from runs/)
- store (the DuckDB file, opened briefly), schema and migrations/ (its form), tables (judged runs as its rows)
- rows (one run as others see it), views (list and find runs)
- document (`oildrop.runs/1`), export (five formats), wide (one table), mllog (MLPerf logging lines)
"""
