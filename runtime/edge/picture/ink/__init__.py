"""From a grey picture to the ink of one digit, in the order in which a picture passes; NumPy and Pillow only.

    search          attempts with several stroke widths and either polarity; the best is kept
    segmentation    one attempt: the pieces that are the digit, without the shadow and the box that cling to them
    binarisation    histograms, sizes, noise; polarity, even light, and a threshold: what is ink
    ruled_lines     ruled and grid lines are removed, strokes that cross them stay
    components      connected components and their measurements
    digit           how much each piece of the ink looks like a digit, which are the digit, and how many there are
    normalisation   the digit read again at one size, its strokes, its box, its centre: MNIST's frame
    likeness        how much the picture looks like one of a written digit
    opinion         what a small network says of the image: whether it shows a digit at all
    text_lines      lines of digits, and with `lattice` the candidates where digits touch

They are built on `morphology`, filters over windows. Integers wherever a decision hangs on the result, so that every
machine decides alike.
"""
