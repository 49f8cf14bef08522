"""Where the labels of points go: beside their point, over no other label, no point, and as few lines as can be.

Every label tries places around its point, near ones first, and takes the cheapest; then all of them choose again, a few
times, knowing where the others went. Everything is deterministic.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.bench.canvas import Line

_DISTANCES = (10.0, 15.0, 24.0, 36.0, 50.0, 66.0)  # of the label from the centre of its point
_DIRECTIONS = 16
_PASSES = 4
_MARGIN = 2.0  # kept free around each label

# What a place costs: a point of distance is 1; an overlap, by its area, is to be avoided at any distance.
_OVERLAP = 10.0
_ON_A_LINE = 20.0
_NEARER_TO_ANOTHER = 60.0  # a label that seems to belong to another point is worse than one far away
_CLEARLY = 3.0  # so much nearer to its own point it has to be


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: `left < right`, and `top < bottom` because y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The place in it that is nearest to a point."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)

    def distance(self, x: float, y: float) -> float:
        """From a point to the nearest place in it."""
        return math.dist((x, y), self.nearest(x, y))

    def within(self, other: "Box") -> bool:
        """Whether all of it lies inside another."""
        return other.holds(self.left, self.top) and other.holds(self.right, self.bottom)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A point that wants a label.

    Attributes:
        x: centre of the point.
        y: centre of the point.
        radius: of the point.
        width: of the label.
        height: of the label.
    """

    x: float
    y: float
    radius: float
    width: float
    height: float


def place(anchors: Sequence[Anchor], frame: Box, lines: Sequence[Line] = ()) -> list[Box]:
    """Finds a place for every label.

    Args:
        anchors: the points.
        frame: what labels should stay inside.
        lines: what labels should rather not lie on.

    Returns:
        The rectangle of each label, in the order of the points.
    """
    dots = [Box(a.x - a.radius, a.y - a.radius, a.x + a.radius, a.y + a.radius) for a in anchors]
    own = [_own_costs(at, anchors, frame, dots, lines) for at in range(len(anchors))]
    chosen: dict[int, Box] = {}
    crowded_first = sorted(range(len(anchors)), key=lambda at: (-min(cost for _, cost in own[at]), at))
    for _ in range(_PASSES):
        for at in crowded_first:
            others = [(anchors[other], box) for other, box in chosen.items() if other != at]
            costs = [cost + _mutual_cost(anchors[at], box, others) for box, cost in own[at]]
            chosen[at] = own[at][costs.index(min(costs))][0]
    return [chosen[at] for at in range(len(anchors))]


def _mutual_cost(anchor: Anchor, box: Box, others: Sequence[tuple[Anchor, Box]]) -> float:
    """What a place costs because of where the other labels are, and the ways from them to their points."""
    own = _leader(anchor, box)
    return sum(
        _OVERLAP * box.overlap(taken) + _ON_A_LINE * (_crosses(own, taken) + _crosses(_leader(other, taken), box))
        for other, taken in others
    )


def _own_costs(
    at: int, anchors: Sequence[Anchor], frame: Box, dots: Sequence[Box], lines: Sequence[Line]
) -> list[tuple[Box, float]]:
    """The places of a label, each with what it costs whatever the other labels do."""
    anchor = anchors[at]
    rivals = [other for number, other in enumerate(anchors) if number != at]
    found = []
    for distance in _DISTANCES:
        for direction in range(_DIRECTIONS):
            box = _beside(anchor, distance, 2 * math.pi * direction / _DIRECTIONS)
            cost = distance + _OVERLAP * sum(map(box.overlap, dots))
            cost += _ON_A_LINE * sum(_crosses(line, box) for line in lines)
            reach = box.distance(anchor.x, anchor.y) + _CLEARLY
            cost += _NEARER_TO_ANOTHER * sum(box.distance(other.x, other.y) < reach for other in rivals)
            if not box.within(frame):
                cost += _OVERLAP * anchor.width * anchor.height
            found.append((box, cost))
    return found


def _beside(anchor: Anchor, distance: float, angle: float) -> Box:
    """A label in that direction, whose nearest edge or corner is that far from the centre of the point."""
    toward_x, toward_y = math.cos(angle), math.sin(angle)
    half_width, half_height = anchor.width / 2 + _MARGIN, anchor.height / 2 + _MARGIN
    # The nearest point of the rectangle lies at `distance`: the centre is as much further as the rectangle reaches.
    x = anchor.x + toward_x * distance + half_width * _leaning(toward_x)
    y = anchor.y + toward_y * distance + half_height * _leaning(toward_y)
    return Box(x - half_width, y - half_height, x + half_width, y + half_height)


def _leaning(component: float) -> float:
    """-1 to 1: how far a label leans to one side; fully so from 45 degrees on."""
    return max(-1.0, min(1.0, component * math.sqrt(2)))


def _crosses(line: Line, box: Box) -> bool:
    """Whether any of a line lies in a box: the shares of its length that lie in both strips of the box meet."""
    enter, leave = 0.0, 1.0
    for begin, step, low, high in (
        (line.x1, line.x2 - line.x1, box.left, box.right),
        (line.y1, line.y2 - line.y1, box.top, box.bottom),
    ):
        if step == 0:
            if not low <= begin <= high:
                return False
            continue
        first, second = sorted(((low - begin) / step, (high - begin) / step))
        enter, leave = max(enter, first), min(leave, second)
    return enter <= leave


def _leader(anchor: Anchor, box: Box) -> Line:
    return Line(anchor.x, anchor.y, *box.nearest(anchor.x, anchor.y), "")
