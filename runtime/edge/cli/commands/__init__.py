"""The commands of the thin half: they parse, call and print, and hold no knowledge of their own."""
