"""What a bundle costs on this machine: latency, throughput, load, cold start and memory, measured and never guessed.

plan        which bundle, provider, threads and batch sizes: the configurations
coldstart   fresh processes, each of which runs `first_image`
rounds      sessions of this process, all configurations interleaved
timing      timed calls and their percentiles
machine     where it was measured
report      the document `edge.bench/1`
tables      the same for people
scatter     the same as a picture, on a `canvas`
"""
