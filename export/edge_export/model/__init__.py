"""The model that is exported: whose it is, how it is made, what it takes and what it gives."""
