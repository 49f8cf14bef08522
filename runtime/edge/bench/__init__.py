"""What a bundle costs on this machine: latency, throughput, load, cold start and memory, measured and never guessed.

    plan        which bundle, provider, threads and batch sizes: the configurations
    coldstart   fresh processes, each of which runs `first_image`; their peak `memory`
    rounds      sessions of this process, all configurations interleaved
    timing      timed calls and their percentiles
    machine     where it was measured
    run         all of the above in order, with `progress`
    document    the form `edge.bench/1`
    report      from measurements to a document
    tables      a document for people
    scatter     a document as a picture: `ticks`, `labels`, a `canvas`, and that as `svg` or `png`

Nothing beyond the runtime is needed, for the picture neither.
"""
