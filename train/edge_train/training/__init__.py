"""A training run: recipes, the loop, checkpoints, the folder of a run, and what it shows meanwhile."""
