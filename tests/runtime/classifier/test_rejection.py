"""What is no digit is told by the logits: little energy, or far from every centre."""

import json

import numpy as np
import pytest
from PIL import Image

import edge
from edge.bundle import manifest as manifests
from edge.bundle.input import OUTPUTS, SCORE
from edge.bundle.manifest import Rejection
from edge.classifier.prediction import Scorer
from edge.errors import BundleError
from edge.picture import preprocessing

CLASSES = 10
UNIT = tuple(tuple(map(float, row[: place + 1])) for place, row in enumerate(np.eye(CLASSES)))
CENTRES = tuple(tuple(map(float, row)) for row in 12 * np.eye(CLASSES))


def rejection(**changes):
    facts = {
        "threshold": -2.0,
        "energy": (12.0, 4.0),
        "distance": (3.0, 2.0),
        "centres": CENTRES,
        "whitening": UNIT,
        "data": "mnist-validation",
        "images": 5000,
        "rejected": 0.0098,
    }
    return Rejection(**{**facts, **changes})


def scores(logits, facts):
    return Scorer.of(facts).scores(logits)


def test_a_usual_digit_scores_about_zero():
    random = np.random.default_rng(0)
    logits = (12 * np.eye(CLASSES)[random.integers(0, 10, 200)] + random.normal(size=(200, CLASSES))).astype(np.float32)
    found = scores(logits, rejection())
    assert abs(np.median(found)) < 0.5
    assert (found > -2).all()


def test_little_energy_and_a_large_distance_both_lower_the_score():
    usual = np.zeros((1, CLASSES), np.float32)
    usual[0, 3] = 12
    weak, torn, loud = usual / 4, usual.copy(), usual * 5
    torn[0, 4] = 12
    for other in (weak, torn, loud):
        assert scores(other, rejection()) < scores(usual, rejection()) - 1


def test_energy_above_the_usual_is_no_merit():
    noise = np.full((1, CLASSES), 40, np.float32)
    assert scores(noise, rejection()) < -10


def test_scores_of_no_images_are_none():
    assert scores(np.zeros((0, CLASSES), np.float32), rejection()).shape == (0,)


@pytest.fixture
def strict(bundle_path, repack):
    """The linear bundle with a rejection that parts its images."""
    classifier = edge.load(bundle_path, provider="cpu")

    def pack(threshold):
        bundle_path.write_bytes(repack(rejection=rejection(threshold=threshold)))
        return edge.load(bundle_path, provider="cpu")

    assert classifier.manifest.rejection is None
    return pack


def test_a_prediction_carries_its_score_and_is_rejected_below_the_threshold(strict, images):
    first = strict(0.0).predict_image(images[2])
    assert first.score == pytest.approx(strict(0.0).scores(images[2])[0])
    assert not strict(first.score - 0.01).predict_image(images[2]).rejected
    assert strict(first.score + 0.01).predict_image(images[2]).rejected


def test_a_bundle_without_rejection_takes_every_answer(bundle_path, images):
    classifier = edge.load(bundle_path, provider="cpu")
    prediction = classifier.predict_image(images[4])
    assert (prediction.score, prediction.rejected) == (None, False)
    assert classifier.scores(images) == [None] * len(images)


def test_the_command_marks_a_rejected_picture_and_exits_with_0(edge_command, strict, images, bundle_path, tmp_path):
    strict(1e6)
    Image.fromarray(images[2]).save(tmp_path / "a.png")
    ended = edge_command("predict", tmp_path / "a.png", "--model", bundle_path)
    assert ended.code == 0
    assert "rejected: it looks like no digit" in ended.out
    ended = edge_command("predict", tmp_path / "a.png", "--model", bundle_path, "--json")
    assert ended.code == 0
    record = json.loads(ended.out)
    assert record["rejected"] is True
    assert record["label"] in "0123456789"
    assert isinstance(record["score"], float)


def test_what_reading_knows_of_a_picture_is_added_to_its_score(strict, images):
    classifier = strict(-1e6)
    page = Image.new("L", (200, 200), 235)
    page.paste(40, (30, 30), Image.fromarray(images[2]).resize((140, 140)))
    seen = preprocessing.read_digit(page)
    alone = classifier.predict_image(seen.image).score
    assert seen.likeness > 0
    assert classifier.predict(page).score == pytest.approx(alone + seen.likeness)
    assert classifier.predictions(seen.image, [-3.0])[0].score == pytest.approx(alone - 3)
    assert classifier.to_predictions(*classifier.run(seen.image), [-3.0])[0].score == pytest.approx(alone - 3)
    between = strict(alone - 1)
    assert [between.predictions(seen.image, [less])[0].rejected for less in (0.0, -2.0)] == [False, True]
    above = strict(alone + 1)
    forgiven = above.predictions(seen.image, [2.0])[0]
    assert not forgiven.rejected
    assert [above.doubts(forgiven, added) for added in (2.0, 0.5)] == [True, False]  # by the model alone, then not


def test_of_other_labels_than_digits_reading_knows_nothing(bundle_path, repack, images):
    bundle_path.write_bytes(repack(rejection=rejection(), labels=tuple("abcdefghij")))
    classifier = edge.load(bundle_path, provider="cpu")
    assert classifier.predictions(images[2], [-3.0]) == classifier.predictions(images[2])


def test_without_a_score_likeness_says_nothing(bundle_path, images):
    assert edge.load(bundle_path, provider="cpu").predictions(images[2], [-9.0])[0].score is None


def test_read_marks_what_is_no_digit(strict, images):
    from edge.classifier.page import read_page

    (line,) = read_page(images[2], strict(1e6)).lines
    assert line.digits[0].rejected
    (line,) = read_page(images[2], strict(-1e6)).lines
    assert not line.digits[0].rejected


def test_the_manifest_keeps_it_and_info_shows_it(edge_command, strict, bundle_path, manifest):
    assert manifests.from_json(manifest.to_json()).rejection is None
    assert strict(-2.5).manifest.rejection == rejection(threshold=-2.5)
    assert "0.98% of 5000 images of mnist-validation" in edge_command("info", bundle_path).out


def test_a_manifest_of_an_older_edge_has_none(manifest):
    record = json.loads(manifest.to_json())
    del record["rejection"]
    assert manifests.from_json(json.dumps(record)).rejection is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", "low"),
        ("energy", [1.0]),
        ("distance", [1.0, 0.0]),
        ("centres", [[1.0] * CLASSES]),
        ("whitening", [[1.0] * CLASSES] * CLASSES),
        ("images", 1.5),
    ],
)
def test_a_rejection_of_another_form_is_refused(manifest, key, value):
    record = json.loads(manifest.to_json())
    record["rejection"] = json.loads(json.dumps({**vars_of(rejection()), key: value}))
    with pytest.raises(BundleError, match=f"`{key}`"):
        manifests.from_json(json.dumps(record))


def vars_of(facts):
    return {name: getattr(facts, name) for name in facts.__slots__}


@pytest.fixture
def scored(bundle_path, repack, make_model, linear):
    """The linear bundle whose graph gives a score: the least of its logits."""

    def pack(threshold, **changes):
        model = make_model(linear, score=True)
        facts = rejection(threshold=threshold)
        bundle_path.write_bytes(repack(model=model, rejection=facts, outputs=(*OUTPUTS, SCORE), **changes))
        return edge.load(bundle_path, provider="cpu", threads=2)

    return pack


@pytest.mark.parametrize("count", [1, 5, 700])
def test_where_the_graph_gives_a_score_it_is_the_score(scored, images, linear, count):
    many = np.resize(images, (count, 28, 28))
    least = linear.logits(many).min(axis=1)
    middle = float(np.median(least))
    classifier = scored(middle)
    predictions = classifier.predictions(many)
    np.testing.assert_allclose([each.score for each in predictions], least, atol=1e-4)
    np.testing.assert_allclose(classifier.scores(many), least, atol=1e-4)
    np.testing.assert_allclose(classifier.run(many)[2], least, atol=1e-4)
    clear = np.abs(least - middle) > 1e-3
    assert [each.rejected for each in predictions] == [each.score < middle for each in predictions]
    assert clear.any() or count == 1


def test_a_score_that_is_promised_and_not_given_is_refused(scored, bundle_path, repack):
    bundle_path.write_bytes(repack(rejection=rejection(), outputs=(*OUTPUTS, SCORE)))
    with pytest.raises(BundleError, match="promises the output score, the graph has none"):
        edge.load(bundle_path, provider="cpu")


def test_scores_that_are_not_what_the_logits_say_do_not_verify(scored, bundle_path):
    scored(0.0)
    checked = edge.verify(bundle_path, "cpu")
    assert not checked.passed
    assert "off what the logits say" in checked.steps[-1].detail
