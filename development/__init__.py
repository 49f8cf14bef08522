"""What `dev.py` stands on."""
