"""What a machine can do at most: products, reads and copies in each framework (`kernels_*.py`), one interface."""
