"""`python -m edge` is the command line."""

from edge.cli.main import main

main()
