"""The heavy half that trains: data, models, recipes, the training loop and checkpoints. Needs the extra `train`."""
