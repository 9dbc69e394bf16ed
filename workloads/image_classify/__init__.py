"""Train a small convolutional network on handwritten digits.

`data` reads and splits the images, `augment` makes the training stream from integers, `reference` is the float64
network, `gates` compares an implementation with it; `model_torch` and `task_torch` are that implementation in PyTorch.
"""
