"""Handwritten digits out of nothing: glyphs, pen, hand and paper. `sample` and `draw_page` are what others call."""

from edge_train.strokes.generator import draw_page, sample

__all__ = ["draw_page", "sample"]
