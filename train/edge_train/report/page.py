"""`report.html`: one run on one page, its story on the first screen. Every figure comes from the document."""

from collections.abc import Mapping
from typing import Any

from edge_train.report import elements
from edge_train.report.figures.gallery import Picture


def of(document: dict[str, Any], pictures: Mapping[str, Picture]) -> str:
    """The page of a run.

    Args:
        document: see `document`.
        pictures: by name, from `gallery.draw`.
    """
    name = document["settings"]["name"]
    parts = [
        _header(document),
        elements.section(
            "Course",
            elements.picture("course", pictures["course"].svg, "Loss and accuracy of training and validation by epoch"),
            elements.picture("learning-rate", pictures["learning-rate"].svg, "Learning rate by step"),
            _splits(document),
        ),
    ]
    if document["test"]:
        parts += _test(document["test"], pictures)
    parts += [_calibration(document, pictures), _network(document, pictures), _configuration(document)]
    return elements.page(f"{name}: training report", *parts)


def story(document: dict[str, Any]) -> str:
    """The run in two or three sentences."""
    settings, epochs, test = document["settings"], document["epochs"], document["test"]
    planned, best = settings["recipe"]["epochs"], document["best_epoch"]
    trained = f"{document['parameters']:,} parameters, trained on {document['images']:,} {settings['data']} images"
    kept = f"Epoch {best} is kept, the best on the validation split: {document['validation']['accuracy']:.2%}."
    sentences = [f"{trained} for {len(epochs)} of {planned} epochs.", kept]
    if test:
        sentences.append(f"Of {test['images']:,} test images {test['wrong']:,} are answered wrongly.")
        if test["wrong"]:
            count, truth, answer = _worst_confusion(document)
            sentences[-1] += f" The most frequent mistake: {truth} taken for {answer}, {count:,} times."
    return " ".join(sentences)


def _header(document: dict[str, Any]) -> str:
    test, validation = document["test"], document["validation"]
    seconds = sum(epoch["seconds"] for epoch in document["epochs"])
    tiles = [
        (f"{document['macs']:,}" if document["macs"] < 1e6 else f"{document['macs'] / 1e6:.2f} M", "MACs per image"),
        (f"{document['parameters']:,}", "parameters"),
        (duration(seconds), f"training time, {duration(seconds / len(document['epochs']))} an epoch"),
    ]
    shown = test or validation
    error = shown["calibration"]["after"]["expected_error"]
    part = "test" if test else "validation"
    tiles = [
        *([(f"{test['accuracy']:.2%}", "test accuracy")] if test else []),
        (f"{validation['accuracy']:.2%}", f"validation accuracy, epoch {document['best_epoch']}"),
        (f"{error:.2%}", f"{part} calibration error, temperature {document['temperature']:g}"),
        *tiles,
    ]
    warning = ""
    if not document["complete"]:
        planned = document["settings"]["recipe"]["epochs"]
        warning = (
            f'<p class="warning">This run was interrupted after {len(document["epochs"])} of {planned} epochs: '
            "the test split was not opened, and there are no test figures. Go on with --resume.</p>"
        )
    return (
        f"<header>\n<h1>{elements.text(document['settings']['name'])}</h1>\n{elements.paragraph(story(document))}\n"
        f"{warning}{elements.tiles(tiles)}</header>"
    )


def _splits(document: dict[str, Any]) -> str:
    rows = []
    for split in (document["validation"], document["test"]):
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


def _test(test: dict[str, Any], pictures: Mapping[str, Picture]) -> list[str]:
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


def _calibration(document: dict[str, Any], pictures: Mapping[str, Picture]) -> str:
    bins = document["validation"]["calibration"]["bins"]
    note = (
        f"Blue: the accuracy of the answers in each of {bins} bins of confidence; orange: how far it is from the "
        "mean confidence. ECE is that distance, averaged over the images. The temperature is fitted on validation."
    )
    split = (document["test"] or document["validation"])["split"]
    pictured = elements.picture("reliability", pictures["reliability"].svg, "Accuracy by confidence", note)
    return elements.section(f"Calibration: {split}", pictured, apart=True)


def _network(document: dict[str, Any], pictures: Mapping[str, Picture]) -> str:
    rows = [
        (
            layer["path"],
            layer["kind"],
            " × ".join(map(str, layer["output"])),
            f"{layer['parameters']:,}",
            f"{layer['macs']:,}",
        )
        for layer in document["layers"]
    ]
    rows.append(("total", "", "", f"{document['parameters']:,}", f"{document['macs']:,}"))
    return elements.section(
        "Network",
        elements.picture("architecture", pictures["architecture"].svg, "The layers from the image to the logits"),
        elements.table(("layer", "kind", "output", "parameters", "MACs"), rows, words=3),
        elements.paragraph(
            "MACs: multiplications by a weight for one image; activations and gates' products not counted."
        ),
    )


def _configuration(document: dict[str, Any]) -> str:
    settings = document["settings"]
    return elements.section(
        "Configuration",
        "<h3>Recipe</h3>",
        elements.facts((dial.replace("_", " "), setting) for dial, setting in settings["recipe"].items()),
        "<h3>Model and data</h3>",
        elements.facts(
            [
                *((size, setting) for size, setting in settings["specification"].items()),
                ("data", settings["data"]),
                ("training images", f"{document['images']:,}"),
                ("labels", " ".join(document["labels"])),
            ]
        ),
        "<h3>Environment</h3>",
        elements.facts((fact.replace("_", " "), setting) for fact, setting in document["environment"].items()),
    )


def _figures(row: dict[str, Any]) -> tuple[str, ...]:
    return (*(f"{row[figure]:.4f}" for figure in ("precision", "recall", "f1")), f"{row['support']:,}")


def _worst_confusion(document: dict[str, Any]) -> tuple[int, str, str]:
    """The most frequent mistake: how often, the true class, the answer."""
    labels = document["labels"]
    return max(
        (count, labels[truth], labels[answer])
        for truth, row in enumerate(document["test"]["confusion"])
        for answer, count in enumerate(row)
        if truth != answer
    )


def duration(seconds: float) -> str:
    """A time for people: "0.4 s", "42 s", "5 min 10 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
