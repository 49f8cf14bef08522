"""Data sets by name or folder, their splits, and what is in them."""
