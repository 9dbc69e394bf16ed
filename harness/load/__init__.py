"""The load generator: plan.py says what is issued when; closed.py, offline.py, open.py issue it; ledger.py keeps it."""
