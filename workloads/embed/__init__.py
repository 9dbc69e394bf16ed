"""`embed`: subject.py asks and judges, reference.py is the encoder in float64, one_pass.py serves it."""
