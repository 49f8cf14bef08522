"""What can be trained: specifications, the networks, and their layers as a table."""
