"""The commands of the thin half, a file each: they parse, call and print, and hold no knowledge of their own."""
