"""Handwritten digits out of nothing: glyphs, pen, hand and paper; and what is none. What others call is here."""

from edge_train.strokes.generator import draw_page, sample
from edge_train.strokes.outliers import sample_outliers

__all__ = ["draw_page", "sample", "sample_outliers"]
