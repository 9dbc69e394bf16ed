"""`lm-generate`: requests.py asks, batcher.py and serving.py answer, gates.py and quality.py compare."""
