"""What would spoil a run here: `examine` takes a `snapshot` and judges it by the `*_points`, each a `point`."""
