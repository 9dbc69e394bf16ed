"""`image-infer`: subject.py asks and judges, the network is that of image_classify, one_pass.py serves it."""
