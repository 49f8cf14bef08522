"""Writes a folder of hard pictures of digits, which `benchmarks/pictures.py` measures.

    python benchmarks/hard_pictures.py DIR [--each N] [--kind KIND]... [--seed S]
    python benchmarks/pictures.py DIR --out FOLDER

There is no public set of what ordinary people bring, so it is drawn: MNIST's training digits, written anew with every
width of pen, on the paper, boards and screens of `hard_pages`, `hard_surroundings` and `hard_devices`. Some kinds are
harder than life on purpose: they show where reading ends. The same seed, number and kind give the same pixels, and a
kind's pictures do not depend on the others; a folder of 24 each takes five minutes and 100 MB.
"""

import argparse
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import hard_devices
import hard_ink
import hard_pages
import hard_surroundings
import numpy as np
from hard_scenes import PairScene, Scene
from hard_writing import Writers

SEED = 60_001
EACH = 24
LABELS = "labels.tsv"  # what `benchmarks/pictures.py` reads

KINDS: dict[str, Scene] = {
    "plain": hard_pages.plain,
    "perspective": hard_pages.perspective,
    "shadow edge": hard_pages.shadow_edge,
    "hand shadow": hard_pages.hand_shadow,
    "curled": hard_pages.curled,
    "folded": hard_pages.folded,
    "crumpled": hard_pages.crumpled,
    "coloured paper": hard_pages.coloured_paper,
    "kraft": hard_pages.kraft,
    "whiteboard": hard_pages.whiteboard,
    "blackboard": hard_pages.blackboard,
    "faint pencil": hard_pages.faint_pencil,
    "needle": hard_pages.needle,
    "thick": hard_pages.thick,
    "thick cropped": hard_pages.thick_cropped,
    "mostly ink": hard_pages.mostly_ink,
    "black and white": hard_surroundings.black_and_white,
    "black and white uneven": hard_surroundings.black_and_white_uneven,
    "grey scan": hard_surroundings.grey_scan,
    "grid": hard_surroundings.grid,
    "dark grid": hard_surroundings.dark_grid,
    "ruled": hard_surroundings.ruled,
    "dark ruled": hard_surroundings.dark_ruled,
    "on the line": hard_surroundings.on_the_line,
    "notebook": hard_surroundings.notebook,
    "neighbours": hard_surroundings.neighbours,
    "printed text": hard_surroundings.printed_text,
    "in a box": hard_surroundings.in_a_box,
    "tiny": hard_pages.tiny,
    "at the edge": hard_pages.at_the_edge,
    "jpeg artefacts": hard_devices.jpeg_artefacts,
    "paint": hard_devices.paint,
    "coloured only": hard_devices.coloured_only,
    "screenshot": hard_devices.screenshot,
    "transparent": hard_devices.transparent,
    "dark desk": hard_surroundings.dark_desk,
    "sheet corner": hard_surroundings.sheet_corner,
    "sticky note": hard_surroundings.sticky_note,
    "skipping pen": hard_pages.skipping_pen,
    "low resolution": hard_devices.low_resolution,
    "as small as mnist": hard_devices.as_small_as_mnist,
    "shaken": hard_devices.shaken,
    "dim": hard_devices.dim,
    "screen": hard_devices.screen,
    "textured": hard_surroundings.textured,
    "outlined": hard_pages.outlined,
    "thick small": hard_ink.thick_small,
    "thick dark": hard_ink.thick_dark,
    "foot at the edge": hard_ink.foot_at_the_edge,
    "long foot": hard_ink.long_foot,
    "small loop": hard_ink.small_loop,
    "equal lightness": hard_ink.equal_lightness,
    "shadow along an edge": hard_ink.shadow_along_an_edge,
    "crayon": hard_ink.crayon,
    "dry felt": hard_ink.dry_felt,
    "sprayed": hard_ink.sprayed,
    "touching a box": hard_surroundings.touching_a_box,
    "finger shadow": hard_surroundings.finger_shadow,
    "plot": hard_devices.plot,
}
# Two digits in a picture: refused, where reading is right.
PAIRS: dict[str, PairScene] = {"touching": hard_ink.touching}
# Kinds that only some digits are hard in.
LABELS_OF = {"long foot": "2", "foot at the edge": "247", "small loop": "689"}


def main() -> int:
    """Draws, writes, and says what can be done with it."""
    arguments = parsed(sys.argv[1:])
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rows = ["file\tlabel\tkind"]
    writers = Writers(arguments.seed)
    for kind in arguments.kind or (*KINDS, *PAIRS):
        rows += written(arguments.folder, kind, arguments.each, writers, arguments.seed)
        print(f"{kind}: {arguments.each} pictures", file=sys.stderr, flush=True)
    (arguments.folder / LABELS).write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(rows) - 1} pictures; next: python benchmarks/pictures.py {arguments.folder}")
    return 0


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="for the pictures, made if it is missing")
    parser.add_argument("--each", type=int, default=EACH, help="pictures of each kind")
    parser.add_argument("--kind", action="append", choices=[*KINDS, *PAIRS], help="may be repeated; all without")
    parser.add_argument("--seed", type=int, default=SEED, help="another one gives other pictures")
    return parser.parse_args(words)


def written(folder: Path, kind: str, count: int, writers: Writers, seed: int) -> list[str]:
    """Writes the pictures of a kind; their lines for the labels."""
    rows = []
    own = zlib.crc32(kind.encode())
    for at in range(count):
        random = np.random.default_rng([seed, own, at])
        line = writers.line(own + at, LABELS_OF.get(kind, ""))
        if kind in PAIRS:
            other = writers.line(own + count + at)
            drawing, label = PAIRS[kind](random, line, other), line.label + other.label
        else:
            drawing, label = KINDS[kind](random, line), line.label
        name = f"{kind.replace(' ', '-')}-{at:03d}.{drawing.kind.lower()}"
        (folder / name).write_bytes(drawing.content())
        rows.append(f"{name}\t{label}\t{kind}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
