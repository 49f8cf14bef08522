"""int8: the candidates that suit a model, what each costs and gains, and the one that is packed.

`quantisation` has the arithmetic, `candidates` the list; `recurrent` and `convolutional` are the two ways, each to be
read from top to bottom; `operators` serves graphs of any other form. `processors` says what the target can multiply,
`selection` which candidate is packed, by accuracy, bytes and `latency`.
"""
