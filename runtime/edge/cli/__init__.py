"""The command line: the hub, what commands share, and the commands."""
