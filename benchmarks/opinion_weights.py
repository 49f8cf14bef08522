"""Fits the second opinion, `edge/picture/ink/opinion.f16`: whether an image shows a digit at all.

    python benchmarks/opinion_weights.py --fonts FOLDER [--drawn FILE] [--epochs N] [--out FILE]

Digits are MNIST's training digits as they are and as reading makes them of a drawing, the stroke generator's with every
form and pen, and those that reading finds in hard pictures. What is no digit is drawn by `opinion_kinds.py`, by
`edge_train.strokes.outliers`, and, on paper, by `rejection_chosen` without its phantoms. None of it is a drawing of
`rejection_asked.py`, and the fonts of the folder should not be those that rejection is judged with: this used the
Debian packages of Aenigma, Cabin, Charis, DejaVu, Dustin, FreeFont, Gentium, Hack, Inconsolata, Jura, Liberation,
Lobster, Noto, Open Sans, Oxygen, Play, Quicksand, TeX Gyre, Vollkorn, Yanone and some of handwriting.

Each image is turned, moved and stretched a little whenever it is seen; the weights that are kept are a running mean.
`--drawn` keeps the images, which take longer than the fit.
"""

import argparse
import sys
import zlib
from pathlib import Path
from typing import Final

import hard_pictures
import numpy as np
import opinion_kinds
import rejection
import rejection_chosen
import torch
from hard_writing import Writers
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from edge.errors import PictureError
from edge.picture import preprocessing
from edge.picture.ink import opinion
from edge_train import strokes
from edge_train.data import published
from edge_train.strokes.outliers import sample_outliers

SEED: Final = 75_001  # of what `opinion_kinds` draws
INKED_SEED, STROKES_SEED, OUTLIERS_SEED, PAPER_SEED = 75_002, 9201, 9001, 777
HARD_SEEDS: Final = (41_001, 41_002, 83_721)  # of hard pictures; none that anything is judged by
HARD_EACH: Final = 12
INKED: Final = 14_000  # MNIST digits that are drawn anew
STROKES: Final = 12_000  # of them half is drawn anew
OUTLIERS: Final = 40_000
ON_PAPER: Final = 130  # of each of those kinds
KINDS: Final = {
    "outline": 2500,
    "vessel": 2500,
    "sign": 7000,
    "spokes": 2000,
    "frame": 2000,
    "rod": 1500,
    "comb": 800,
}
# How often each set is seen. Hard pictures are few and seen often: where reading ends, a digit looks least like one.
SHARES: Final = {
    "mnist": 0.10,
    "inked": 0.13,
    "strokes": 0.05,
    "strokes inked": 0.05,
    "hard": 0.25,
    "outliers": 0.11,
    "on paper": 0.03,
    "sign": 0.18,
    "vessel": 0.035,
    "outline": 0.04,
    "spokes": 0.035,
    "comb": 0.01,
    "frame": 0.02,
    "rod": 0.02,
}
NO_DIGIT: Final = 10
EPOCHS, PER_EPOCH, BATCH = 20, 60_000, 256
RATE, DECAY, SMOOTHING, DROPPED = 5e-3, 1e-3, 0.02, 0.1
MEAN_OVER: Final = 500  # steps of the running mean
INK: Final = (0.3, 0.65)  # share of the darkest level from which on an enlarged digit is ink
TURNED, STRETCHED, SLANTED, MOVED, DARKER = 0.07, 0.06, 0.08, 0.03, 0.3

Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]
Set = tuple[Bytes, Labels]


class Network(nn.Module):
    """`edge.picture.ink.opinion`, to be trained."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(one.channels, one.outputs, one.window, one.step) for one in opinion.CONVOLUTIONS
        )
        self.hidden, self.last = (nn.Linear(inputs, outputs) for inputs, outputs in opinion.DENSE)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 11) of float32 (N, 1, 28, 28), 0 to 1."""
        for layer in self.convolutions:
            images = functional.relu(layer(images))
        hidden = functional.relu(self.hidden(images.permute(0, 2, 3, 1).flatten(1)))
        logits: Tensor = self.last(functional.dropout(hidden, DROPPED, self.training))
        return logits


def main() -> int:
    """Draws, fits, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, required=True, help="a folder of .ttf and .otf files")
    parser.add_argument("--drawn", type=Path, help="a file for the images; one that exists is used")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=opinion.FILE)
    arguments = parser.parse_args()
    if arguments.drawn and arguments.drawn.exists():
        stored = np.load(arguments.drawn)
        sets = {name: (stored[name], stored[f"{name} labels"]) for name in SHARES}
    else:
        sets = draw([face for face in rejection.faces_of(arguments.fonts) if face.exists()])
        if arguments.drawn:
            labels = {f"{name} labels": one[1] for name, one in sets.items()}
            np.savez_compressed(arguments.drawn, **{name: one[0] for name, one in sets.items()}, **labels)
    print({name: len(one[0]) for name, one in sets.items()}, flush=True)
    arguments.out.write_bytes(packed(fit(sets, arguments.epochs)))
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes; next: python benchmarks/rejection.py --asked")
    return 0


def draw(faces: list[Path]) -> dict[str, Set]:
    """All images with their labels, `NO_DIGIT` for what shows none; the names are those of `SHARES`."""
    training, _ = published.load("mnist", fetch=False)
    random = np.random.default_rng(INKED_SEED)
    some = random.permutation(len(training.images))[:INKED]
    written, of_written = strokes.sample(STROKES, seed=STROKES_SEED, writers="all")
    digits = {
        "mnist": (training.images, training.labels),
        "inked": inked(training.images[some], training.labels[some], random),
        "strokes": (written, of_written),
        "strokes inked": inked(written[: STROKES // 2], of_written[: STROKES // 2], random),
        "hard": hard(),
    }
    others = {
        "outliers": sample_outliers(OUTLIERS, seed=OUTLIERS_SEED),
        "on paper": on_paper(),
        **{kind: drawn(kind, count, faces) for kind, count in KINDS.items()},
    }
    return digits | {name: (images, np.full(len(images), NO_DIGIT)) for name, images in others.items()}


def drawn(kind: str, count: int, faces: list[Path]) -> Bytes:
    """Drawings of a kind, whose random numbers depend on no other kind."""
    return opinion_kinds.images(kind, count, np.random.default_rng([SEED, zlib.crc32(kind.encode())]), faces)


def on_paper() -> Bytes:
    """What reading makes of clocks, signs, arrows and other things on paper; phantoms are drawn, and left out."""
    random = np.random.default_rng(PAPER_SEED)
    found = {
        name: rejection.read(draw(random) for _ in range(ON_PAPER)).images
        for name, draw in rejection_chosen.KINDS.items()
    }
    return np.concatenate([images for name, images in found.items() if name != "head phantoms"])


def inked(images: Bytes, labels: Labels, random: np.random.Generator) -> Set:
    """Digits as reading makes them of a drawing: with hard edges first, then with strokes of a usual width."""
    found, kept = [], []
    for image, label in zip(images, labels.tolist(), strict=True):
        large = Image.fromarray(image).resize((8 * image.shape[1], 8 * image.shape[0]), Image.Resampling.BICUBIC)
        ink = np.asarray(large) > random.uniform(*INK) * image.max()
        if np.count_nonzero(ink) > opinion_kinds.LEAST_INK:
            found.append(opinion_kinds.framed(ink))
            kept.append(label)
    return np.stack(found), np.array(kept)


def hard() -> Set:
    """The digits that reading finds in hard pictures."""
    found, kept = [], []
    for seed in HARD_SEEDS:
        writers = Writers(seed)
        for kind, scene in hard_pictures.KINDS.items():
            own = zlib.crc32(kind.encode())
            for at in range(HARD_EACH):
                line = writers.line(own + at, hard_pictures.LABELS_OF.get(kind, ""))
                drawing = scene(np.random.default_rng([seed, own, at]), line)
                (outcome,) = preprocessing.read_digits([bytes(drawing.content())])
                if not isinstance(outcome, PictureError):
                    found.append(outcome.image)
                    kept.append(int(line.label))
    return np.stack(found), np.array(kept)


def fit(sets: dict[str, Set], epochs: int) -> Network:
    """The network with the running mean of its weights."""
    torch.manual_seed(SEED)
    images = torch.from_numpy(np.concatenate([sets[name][0] for name in SHARES]))
    labels = torch.from_numpy(np.concatenate([sets[name][1] for name in SHARES]))
    share = torch.cat([torch.full((len(sets[name][0]),), SHARES[name] / len(sets[name][0])) for name in SHARES])
    network, steps = Network(), PER_EPOCH // BATCH
    mean = torch.optim.swa_utils.AveragedModel(network, avg_fn=lambda old, new, _: old + (new - old) / MEAN_OVER)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=epochs * steps, pct_start=0.2)
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.multinomial(share, steps * BATCH, replacement=True).view(steps, BATCH):
            seen = varied(images[chosen].float()[:, None] / 255)
            loss = functional.cross_entropy(network(seen), labels[chosen], label_smoothing=SMOOTHING)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            mean.update_parameters(network)
            total += loss.item() / steps
        print(f"epoch {epoch + 1}/{epochs}: loss {total:.4f}", flush=True)
    kept = mean.module
    assert isinstance(kept, Network)
    return kept


def varied(images: Tensor) -> Tensor:
    """Each image turned, stretched, slanted, moved and darkened by a little: float32 (N, 1, 28, 28), 0 to 1."""
    count = len(images)
    angle, stretch = TURNED * torch.randn(count), torch.exp(STRETCHED * torch.randn(count, 2))
    where = torch.zeros(count, 2, 3)
    where[:, 0, 0], where[:, 0, 1] = angle.cos() * stretch[:, 0], SLANTED * torch.randn(count) - angle.sin()
    where[:, 1, 0], where[:, 1, 1] = angle.sin(), angle.cos() * stretch[:, 1]
    where[:, :, 2] = MOVED * torch.randn(count, 2)
    grid = functional.affine_grid(where, list(images.shape), align_corners=False)
    seen = functional.grid_sample(images, grid, align_corners=False)
    return (seen * (1 + DARKER * torch.rand(count, 1, 1, 1))).clamp(0, 1)


def packed(network: Network) -> bytes:
    """The weights in the order in which the runtime reads them."""
    parts = []
    for layer in network.convolutions:
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        parts += [layer.weight.permute(2, 3, 1, 0).reshape(-1), layer.bias]  # rows, columns, channels of a window
    for dense in (network.hidden, network.last):
        parts += [dense.weight.T.reshape(-1), dense.bias]
    return torch.cat(parts).detach().numpy().astype("<f2").tobytes()


if __name__ == "__main__":
    sys.exit(main())
