"""What training varies: position, form, strokes and grey levels, and what pre-processing leaves of a real picture."""
