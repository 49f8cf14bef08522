"""From a grey picture to the ink of one digit, a step a module; each says in a sentence what it does.

    levels      grey levels are spread, counted and split in two
    polarity    dark ink on light paper or the reverse: what is rare nearby is ink
    paper       uneven light and shadow are removed: how much darker than the paper each point is
    threshold   ink is what stands out of the noise, and whatever fainter is attached to it
    lines       ruled and grid lines are left out, strokes that cross them stay
    pieces      the ink is cut into pieces; the digit's are chosen, frames, edges and specks left out
    search      the steps above for several stroke widths, and both polarities where in doubt; the best is kept
    closeup     the digit alone, at one size, from the full picture
    stroke      strokes too thin or too thick for the model are brought into range
    box         20x20 pixels, centre of mass in the middle of 28x28

NumPy and Pillow only; integers wherever a decision hangs on the result, so that every machine decides alike.
"""
