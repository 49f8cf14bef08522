"""Other forms of a packed bundle, for other runtimes: each with its own replay of the evidence."""
