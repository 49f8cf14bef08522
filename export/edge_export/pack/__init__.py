"""From a checked graph to a bundle: manifest, evidence, rejection, and the report beside it."""
