"""Text for people: tables, progress, quoting for a terminal, and files that are written in one step."""
