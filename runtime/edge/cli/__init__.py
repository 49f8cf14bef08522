"""The command line: the hub, the options that commands share, and a file for each command."""
