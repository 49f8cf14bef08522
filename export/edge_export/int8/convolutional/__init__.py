"""The integer forms of convolutional networks."""
