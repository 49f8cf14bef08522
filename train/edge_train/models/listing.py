"""The module that the entry points of earlier installations name; `summary` is what it is called now."""

from edge_train.models.summary import describe

__all__ = ["describe"]
