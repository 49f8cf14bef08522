"""Why a model answers as it does: the belief after each row of the picture, or the places that the answer hangs on.

belief      a recurrent model's probabilities after each row, and the row that settles the answer
occlusion   any model's answer while a patch of background hides a part of the digit
look        colours, letters and the enlarged digit that the pictures share
curves      the belief as a picture, and row by row as an animation
heat        the occlusion map as a picture
lines       both as text, for a terminal

from edge import explain, load, picture

classifier, image = load("lstm-int8"), picture.read("digit.png")
explain.rows(classifier, image)       # float32 (28, 10): the probabilities after each row
explain.occlusion(classifier, image)  # Occlusion: what the answer is with a patch hidden, at every place
"""

from edge.explanation.belief import is_recurrent, rows, settled_row
from edge.explanation.occlusion import PATCH, Occlusion, occlusion

__all__ = ["PATCH", "Occlusion", "is_recurrent", "occlusion", "rows", "settled_row"]
