"""Why a model answers as it does: the belief after each row of the picture, or the places that the answer hangs on.

explanation     what `edge.explain` returns: one of the two, as text and as a picture
belief          a recurrent model's probabilities after each row, and the row that settles the answer: told and drawn
occlusion       any model's answer while a patch of background hides a part of the digit: told and drawn
"""
