"""One function a rule: what it asks of a run's evidence, and the finding when that is broken."""
