"""What a model's answers to a split are worth, as plain values for `metrics.json`."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_train.report import calibration
from edge_train.report.run import Answers

MISTAKES = 25  # a square of pictures that can still be looked at one by one
SAMPLES = 60
SAMPLE_SEED = 28  # the same pictures in every report of the same split, so that two reports can be compared


def overview(answers: Answers, temperature: float) -> dict[str, Any]:
    """Accuracy, loss and calibration of a split.

    Args:
        answers: at least one.
        temperature: fitted on validation data.

    Returns:
        `loss` is the cross entropy in nats per image; `before` and `after` are the calibration without and with the
        temperature.
    """
    logits, labels = answers.logits, answers.split.labels
    probabilities = calibration.softmax(logits)
    own = probabilities[np.arange(len(labels)), labels]
    wrong = int((logits.argmax(1) != labels).sum())
    return {
        "split": answers.split.name,
        "images": len(labels),
        "wrong": wrong,
        "accuracy": round(1 - wrong / len(labels), 6),
        "loss": round(float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean()), 6),
        "calibration": {
            "bins": calibration.BINS,
            "before": asdict(calibration.measure(logits, labels)),
            "after": asdict(calibration.measure(logits, labels, temperature)),
        },
    }


def details(answers: Answers, labels: tuple[str, ...], temperature: float) -> dict[str, Any]:
    """Everything that a report tells of the test split: the overview, classes, confusion, mistakes, samples.

    `confusion[i][j]` counts the pictures of class i that were answered j. `mistakes` and `samples` name pictures by
    their place in the split; their confidence is that after the temperature.
    """
    # scikit-learn takes seconds to import, and an interrupted run does not need it.
    from sklearn.metrics import classification_report, confusion_matrix

    truth, predicted = answers.split.labels, answers.logits.argmax(1)
    probabilities = calibration.softmax(answers.logits, temperature)
    confidence = probabilities.max(axis=1)
    columns = list(range(len(labels)))
    # Names must differ from each other and from the rows of averages: columns do, labels need not.
    report = classification_report(
        truth, predicted, labels=columns, target_names=[f"class {column}" for column in columns], output_dict=True,
        zero_division=0.0,
    )  # fmt: skip
    wrong = np.flatnonzero(truth != predicted)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    chosen = np.random.Generator(np.random.PCG64(SAMPLE_SEED)).permutation(len(truth))[:SAMPLES]

    def pictures(places: NDArray[np.int64]) -> list[dict[str, Any]]:
        return [
            {
                "image": int(place),
                "label": labels[truth[place]],
                "prediction": labels[predicted[place]],
                "confidence": round(float(confidence[place]), 6),
            }
            for place in places
        ]

    return {
        **overview(answers, temperature),
        "classes": [{"label": labels[column], **_row(report[f"class {column}"])} for column in columns],
        "averages": {"macro": _row(report["macro avg"]), "weighted": _row(report["weighted avg"])},
        "confusion": confusion_matrix(truth, predicted, labels=columns).tolist(),
        "mistakes": pictures(worst),
        "samples": pictures(np.sort(chosen)),
    }


def _row(figures: dict[str, float]) -> dict[str, float | int]:
    return {
        "precision": round(float(figures["precision"]), 6),
        "recall": round(float(figures["recall"]), 6),
        "f1": round(float(figures["f1-score"]), 6),
        "support": int(figures["support"]),
    }
