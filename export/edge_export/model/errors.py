"""What goes wrong with the model that is exported."""

from edge.errors import EdgeError


class ModelError(EdgeError, ValueError):
    """What `--model` names cannot be exported."""
