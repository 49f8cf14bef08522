"""The same pictures through PyTorch and through every later form of the model, and what may differ."""
