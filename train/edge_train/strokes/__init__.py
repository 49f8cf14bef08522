"""Handwritten digits out of nothing: glyphs, pen, hand and paper."""
