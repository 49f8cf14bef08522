"""What a bundle costs on this machine: latency, throughput, load, cold start and memory, measured and never guessed.

turns         how times are taken and judged, here and everywhere else
measurement   what is measured: bundles, providers, threads, batch sizes; sessions and their calls
benchmark     fresh processes, each of which runs `first_image`, then that, put together
results       the document `edge.bench/1`, written and read, with the machine that it was measured on
presentation  the document for people: tables, and a plot, for which matplotlib is needed
tuning        how a bundle runs many images fastest, kept for `edge.load`
"""
