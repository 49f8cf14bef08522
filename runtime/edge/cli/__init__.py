"""The command line: the hub, what commands share, and the commands, which hold no knowledge of their own.

main         finds the command, and turns what it raises into an exit code
arguments    options, and which pictures are meant
predict      pictures in, a line each out, and what belongs to it: `predict`, `merge`, `explain`
read         every digit of a page
bundles      what a bundle is, whose it is, and what it answers: `info`, `models`, `verify`, `keygen`, `sign`, `serve`
machine      what this machine can run, and what that costs: `doctor`, `bench`
"""
