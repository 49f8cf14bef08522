"""`report.html`: one run on one page, its story on the first screen. Every figure comes from the metrics."""

from collections.abc import Mapping
from typing import Any

from edge_train.report import elements
from edge_train.report.figures import RenderedFigure


def of(metrics: dict[str, Any], pictures: Mapping[str, RenderedFigure]) -> str:
    """The page of a run.

    Args:
        metrics: see `metrics`.
        pictures: by name, from `figures.draw`.
    """
    name = metrics["settings"]["name"]
    parts = [
        _header(metrics),
        elements.section(
            "Course",
            elements.picture("course", pictures["course"].svg, "Loss and accuracy of training and validation by epoch"),
            elements.picture("learning-rate", pictures["learning-rate"].svg, "Learning rate by step"),
            _splits(metrics),
        ),
    ]
    if metrics["test"]:
        parts += _test(metrics["test"], pictures)
    parts += [_calibration(metrics, pictures), _network(metrics, pictures), _configuration(metrics)]
    return elements.page(f"{name}: training report", *parts)


def story(metrics: dict[str, Any]) -> str:
    """The run in two or three sentences."""
    settings, epochs, test = metrics["settings"], metrics["epochs"], metrics["test"]
    planned, best = settings["recipe"]["epochs"], metrics["best_epoch"]
    trained = f"{metrics['parameters']:,} parameters, trained on {metrics['images']:,} {settings['data']} images"
    kept = f"Epoch {best} is kept, the best on the validation split: {metrics['validation']['accuracy']:.2%}."
    sentences = [f"{trained} for {len(epochs)} of {planned} epochs.", kept]
    if test:
        sentences.append(f"Of {test['images']:,} test images {test['wrong']:,} are answered wrongly.")
        if test["wrong"]:
            count, truth, answer = _worst_confusion(metrics)
            sentences[-1] += f" The most frequent mistake: {truth} taken for {answer}, {count:,} times."
    return " ".join(sentences)


def _header(metrics: dict[str, Any]) -> str:
    test, validation = metrics["test"], metrics["validation"]
    seconds = sum(epoch["seconds"] for epoch in metrics["epochs"])
    tiles = [
        (f"{metrics['macs']:,}" if metrics["macs"] < 1e6 else f"{metrics['macs'] / 1e6:.2f} M", "MACs per image"),
        (f"{metrics['parameters']:,}", "parameters"),
        (duration(seconds), f"training time, {duration(seconds / len(metrics['epochs']))} an epoch"),
    ]
    shown = test or validation
    error = shown["calibration"]["after"]["expected_error"]
    part = "test" if test else "validation"
    tiles = [
        *([(f"{test['accuracy']:.2%}", "test accuracy")] if test else []),
        (f"{validation['accuracy']:.2%}", f"validation accuracy, epoch {metrics['best_epoch']}"),
        (f"{error:.2%}", f"{part} calibration error, temperature {metrics['temperature']:g}"),
        *tiles,
    ]
    warning = ""
    if not metrics["complete"]:
        planned = metrics["settings"]["recipe"]["epochs"]
        warning = (
            f'<p class="warning">This run was interrupted after {len(metrics["epochs"])} of {planned} epochs: '
            "the test split was not opened, and there are no test figures. Go on with --resume.</p>"
        )
    return (
        f"<header>\n<h1>{elements.text(metrics['settings']['name'])}</h1>\n{elements.paragraph(story(metrics))}\n"
        f"{warning}{elements.tiles(tiles)}</header>"
    )


def _splits(metrics: dict[str, Any]) -> str:
    rows = []
    for split in (metrics["validation"], metrics["test"]):
        if split:
            before, after = (split["calibration"][moment]["expected_error"] for moment in ("before", "after"))
            rows.append(
                (
                    split["split"],
                    f"{split['images']:,}",
                    f"{split['wrong']:,}",
                    f"{split['accuracy']:.2%}",
                    f"{split['loss']:.4f}",
                    f"{before:.2%}",
                    f"{after:.2%}",
                )
            )
    heading = ("best epoch on", "images", "wrong", "accuracy", "loss", "ECE", "ECE after temperature")
    return elements.table(heading, rows)


def _test(test: dict[str, Any], pictures: Mapping[str, RenderedFigure]) -> list[str]:
    rows = [(row["label"], *_figures(row)) for row in test["classes"]]
    rows += [(f"{kind} average", *_figures(row)) for kind, row in test["averages"].items()]
    parts = [
        elements.section(
            f"Classes: {test['split']}",
            elements.table(("class", "precision", "recall", "F1", "support"), rows),
            apart=True,
        ),
        elements.section(
            f"Confusion: {test['split']}",
            elements.picture(
                "confusion",
                pictures["confusion"].svg,
                "Confusion matrix; its counts are in metrics.json",
                "Rows are the true classes. Each cell: images, and their share of the class.",
            ),
        ),
    ]
    if "mistakes" in pictures:
        title = f"The {len(test['mistakes'])} most confident mistakes: {test['split']}"
        note = "Truth, answer, and the answer's confidence after the temperature."
        listed = "; ".join(f"{one['label']} taken for {one['prediction']}" for one in test["mistakes"])
        parts.append(
            elements.section(title, elements.picture("mistakes", pictures["mistakes"].svg, listed, note), apart=True)
        )
    note = "Drawn at random, the same ones in every report. A mistake is orange: truth, answer, confidence."
    pictured = elements.picture("samples", pictures["samples"].svg, "Test images with the answers", note)
    return [*parts, elements.section(f"Images and answers: {test['split']}", pictured)]


def _calibration(metrics: dict[str, Any], pictures: Mapping[str, RenderedFigure]) -> str:
    bins = metrics["validation"]["calibration"]["bins"]
    note = (
        f"Blue: the accuracy of the answers in each of {bins} bins of confidence; orange: how far it is from the "
        "mean confidence. ECE is that distance, averaged over the images. The temperature is fitted on validation."
    )
    split = (metrics["test"] or metrics["validation"])["split"]
    pictured = elements.picture("reliability", pictures["reliability"].svg, "Accuracy by confidence", note)
    return elements.section(f"Calibration: {split}", pictured, apart=True)


def _network(metrics: dict[str, Any], pictures: Mapping[str, RenderedFigure]) -> str:
    rows = [
        (
            layer["path"],
            layer["kind"],
            " × ".join(map(str, layer["output"])),
            f"{layer['parameters']:,}",
            f"{layer['macs']:,}",
        )
        for layer in metrics["layers"]
    ]
    rows.append(("total", "", "", f"{metrics['parameters']:,}", f"{metrics['macs']:,}"))
    return elements.section(
        "Network",
        elements.picture("architecture", pictures["architecture"].svg, "The layers from the image to the logits"),
        elements.table(("layer", "kind", "output", "parameters", "MACs"), rows, words=3),
        elements.paragraph(
            "MACs: multiplications by a weight for one image; activations and gates' products not counted."
        ),
    )


def _configuration(metrics: dict[str, Any]) -> str:
    settings = metrics["settings"]
    return elements.section(
        "Configuration",
        "<h3>Recipe</h3>",
        elements.facts((name.replace("_", " "), setting) for name, setting in settings["recipe"].items()),
        "<h3>Model and data</h3>",
        elements.facts(
            [
                *((size, setting) for size, setting in settings["specification"].items()),
                ("data", settings["data"]),
                ("training images", f"{metrics['images']:,}"),
                ("labels", " ".join(metrics["labels"])),
            ]
        ),
        "<h3>Environment</h3>",
        elements.facts((fact.replace("_", " "), setting) for fact, setting in metrics["environment"].items()),
    )


def _figures(row: dict[str, Any]) -> tuple[str, ...]:
    return (*(f"{row[figure]:.4f}" for figure in ("precision", "recall", "f1")), f"{row['support']:,}")


def _worst_confusion(metrics: dict[str, Any]) -> tuple[int, str, str]:
    """The most frequent mistake: how often, the true class, the answer."""
    labels = metrics["labels"]
    return max(
        (count, labels[truth], labels[answer])
        for truth, row in enumerate(metrics["test"]["confusion"])
        for answer, count in enumerate(row)
        if truth != answer
    )


def duration(seconds: float) -> str:
    """A time for people: "0.4 s", "42 s", "5 min 10 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
