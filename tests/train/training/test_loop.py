"""What the loop measures: logits, scores and the temperature that makes probabilities honest."""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edge_train import strokes
from edge_train.data.splits import Split
from edge_train.models import networks
from edge_train.models.specification import Recurrent
from edge_train.training import evaluation, loop
from edge_train.training.loop import Epoch, State
from edge_train.training.recipes import Recipe


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return networks.build(Recurrent("gru", hidden=8))


@pytest.fixture(scope="module")
def noise() -> Split:
    random = np.random.default_rng(3)
    return Split("noise-test", random.integers(0, 256, (70, 28, 28), np.uint8), np.arange(70) % 10)


def calibrated(count: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn by exactly their softmax."""
    random = np.random.default_rng(4)
    logits = random.normal(0, spread, (count, 10)).astype(np.float32)
    uniform = random.uniform(size=(count, 1))
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(1, keepdims=True)
    return logits, (probabilities.cumsum(1) < uniform).sum(1).clip(max=9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 3.5])
@pytest.mark.sampled(1)
def test_a_temperature_is_found_again(temperature):
    logits, labels = calibrated(20_000, spread=2.0)
    assert evaluation.temperature_of(logits * np.float32(temperature), labels) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_has_a_lower_loss():
    logits, labels = calibrated(2_000, spread=2.0)
    logits = logits * np.float32(1.7)
    scores, targets = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    best = evaluation.temperature_of(logits, labels)

    def loss(temperature: float) -> float:
        return F.cross_entropy(scores / temperature, targets).item()

    assert all(loss(best) <= loss(other) + 1e-7 for other in np.linspace(0.25, 4, 100))


def test_a_perfect_model_gets_the_lowest_temperature_and_a_useless_one_the_highest():
    labels = np.arange(100) % 10
    perfect = (np.eye(10, dtype=np.float32) * 3)[labels]
    assert evaluation.temperature_of(perfect, labels) == pytest.approx(0.25, abs=0.01)
    wrong = (np.eye(10, dtype=np.float32) * 9)[(labels + 1) % 10]
    assert evaluation.temperature_of(wrong, labels) == pytest.approx(4.0, abs=0.01)


def test_logits_do_not_depend_on_how_the_pictures_are_batched(network, noise):
    whole = evaluation.logits_of(network, noise.images)
    np.testing.assert_allclose(evaluation.logits_of(network, noise.images, batch=7), whole, atol=1e-5)
    assert (whole.dtype, whole.shape) == (np.float32, (70, 10))


def test_pixels_are_scaled_to_one(network):
    full = np.full((1, 28, 28), 255, np.uint8)
    with torch.no_grad():
        expected = network.eval()(torch.ones(1, 28, 28)).numpy()
    np.testing.assert_allclose(evaluation.logits_of(network, full), expected, atol=1e-6)


def test_a_score_is_mean_cross_entropy_and_share_of_right_labels(network, noise):
    loss, accuracy = evaluation.score(network, noise)
    logits = evaluation.logits_of(network, noise.images).astype(np.float64)
    likelihood = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert loss == pytest.approx(-likelihood[np.arange(70), noise.labels].mean(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == noise.labels).mean(), rel=1e-6)


def test_scoring_turns_training_behaviour_off_and_leaves_weights_alone(noise):
    network = networks.build(Recurrent("lstm", hidden=4)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    evaluation.score(network, noise)
    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss_then_comes_first():
    def epoch(number: int, loss: float, accuracy: float) -> Epoch:
        return Epoch(number, 1.0, 0.5, loss, accuracy, 1.0)

    state = State(torch.nn.Linear(1, 1), torch.optim.SGD(torch.nn.Linear(1, 1).parameters()))
    assert state.best_epoch is None
    state.epochs = [epoch(1, 0.5, 0.9), epoch(2, 0.4, 0.9), epoch(3, 0.1, 0.8), epoch(4, 0.4, 0.9)]
    assert state.best_epoch == state.epochs[1]


def test_of_a_run_that_goes_on_from_a_model_the_last_epoch_is_kept():
    weights = torch.nn.Linear(1, 1)
    state = State(weights, torch.optim.SGD(weights.parameters()), start=dict(weights.state_dict()))
    state.epochs = [Epoch(1, 1.0, 0.5, 0.1, 0.9, 1.0), Epoch(2, 1.0, 0.5, 0.2, 0.8, 1.0)]
    assert state.best_epoch == state.epochs[1]


few_strokes = cache(strokes.sample)


def few_digits(teacher: torch.nn.Module | None = None) -> loop.TrainingData:
    images, labels = few_strokes(120, seed=31)
    drawn, drawn_labels = few_strokes(60, seed=32)
    return loop.TrainingData(
        Split("strokes-training", images, labels),
        Split("strokes-validation", images[:40], labels[:40]),
        Split("strokes-mixed", drawn, drawn_labels),
        teacher,
    )


def trained(recipe: Recipe, teacher: torch.nn.Module | None = None) -> State:
    torch.manual_seed(0)
    state = loop.begin(networks.build(Recurrent("gru", hidden=8)), recipe, torch.device("cpu"))
    loop.run(state, recipe, few_digits(teacher), device=torch.device("cpu"))
    return state


@pytest.mark.represented(optimiser=("adamw",))
@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd", "rmsprop"])
def test_every_optimiser_lowers_the_loss(optimiser):
    rate = 2.0 if optimiser == "sgd" else 0.05
    recipe = Recipe(epochs=12, batch_size=20, optimiser=optimiser, learning_rate=rate, augmentation="none")
    epochs = trained(recipe).epochs
    assert epochs[-1].training_loss < epochs[0].training_loss * 0.9


def test_averaged_weights_lag_behind_and_are_the_ones_that_are_kept():
    state = trained(Recipe(epochs=2, batch_size=20, learning_rate=0.02, averaging=0.99))
    assert state.averaged is not None
    assert state.judged() is state.averaged
    last, mean = state.model.state_dict(), state.averaged.state_dict()
    assert all(not torch.equal(last[name], mean[name]) for name in last)
    if state.best_epoch is state.epochs[-1]:
        assert all(torch.equal(state.best[name], mean[name]) for name in mean)


def test_an_average_of_one_step_is_nearly_its_weights():
    state = trained(Recipe(epochs=1, batch_size=1000, averaging=0.999))
    assert state.steps == 1
    # (1 + 1) / (10 + 1) of the first weights are left after one step.
    start = trained_start()
    for name, weight in state.model.state_dict().items():
        expected = start[name] * (2 / 11) + weight * (9 / 11)
        torch.testing.assert_close(state.averaged.state_dict()[name], expected)


def trained_start() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return networks.build(Recurrent("gru", hidden=8)).state_dict()


def test_drawn_digits_are_mixed_into_every_epoch_and_differ_between_epochs():
    """A teacher sees every picture of an epoch: here it notes them."""
    seen: list[bytes] = []

    class Noting(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.extend((image * 255).round().byte().numpy().tobytes() for image in images)
            return torch.zeros(len(images), 10)

    data = few_digits(Noting())
    trained(Recipe(epochs=2, batch_size=20, augmentation="none", strokes=0.1), Noting())
    real = {image.tobytes() for image in data.training.images}
    drawn = {image.tobytes() for image in data.drawn.images}
    epochs = seen[:132], seen[132:]
    assert [len(epoch) for epoch in epochs] == [132, 132]
    for epoch in epochs:
        assert len(set(epoch)) == 132
        assert real <= set(epoch)
        assert set(epoch) - real <= drawn
    assert set(epochs[0]) != set(epochs[1])
    assert epochs[0] != epochs[1]


def test_a_pupil_of_a_teacher_alone_learns_the_teachers_answers_not_the_labels():
    class Stubborn(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.full((len(images),), 3), 10).float() * 12

    recipe = Recipe(epochs=6, batch_size=20, learning_rate=0.05, distillation=1.0)
    state = trained(recipe, Stubborn())
    assert (evaluation.logits_of(state.judged(), few_digits().validation.images).argmax(1) == 3).all()


def test_pictures_are_varied_in_whole_batches_whatever_their_size():
    recipe = Recipe(epochs=1, batch_size=7, augmentation="pictures", strokes=0.1)
    assert trained(recipe).steps == -(-132 // 7)


def told_from_outliers(share: float) -> tuple[float, float]:
    """The mean largest probability of digits and of what is none, after some epochs with so many of the latter."""
    images, labels = strokes.sample(200, seed=33)
    split = Split("strokes-training", images, labels)
    recipe = Recipe(epochs=8, batch_size=25, learning_rate=0.02, augmentation="none", outliers=share)
    torch.manual_seed(0)
    state = loop.begin(networks.build(Recurrent("gru", hidden=16)), recipe, torch.device("cpu"))
    data = loop.TrainingData(split, split, outliers=strokes.sample_outliers(200, seed=1))
    loop.run(state, recipe, data, device=torch.device("cpu"))
    shown = images, strokes.sample_outliers(100, seed=2)
    answers = [torch.from_numpy(evaluation.logits_of(state.judged(), pictures)) for pictures in shown]
    digits, others = (torch.softmax(logits, 1).amax(1).mean().item() for logits in answers)
    return digits, others


@pytest.mark.exhaustive  # two trainings; how outliers are counted is below
def test_a_model_that_has_seen_what_is_no_digit_is_unsure_of_it():
    digits, others = told_from_outliers(0.5)
    digits_without, others_without = told_from_outliers(0.0)
    assert others < others_without - 0.05
    assert digits - others > digits_without - others_without + 0.06


def test_outliers_are_counted_as_pictures_but_not_as_right_or_wrong():
    images, labels = strokes.sample(100, seed=34)
    split = Split("strokes-training", images, labels)
    data = loop.TrainingData(split, split, outliers=strokes.sample_outliers(300, seed=1))
    recipe = Recipe(epochs=1, batch_size=10, outliers=2.0)
    assert (data.outliers_per_epoch(recipe), data.batches(recipe)) == (200, 30)
    state = loop.begin(networks.build(Recurrent("gru", hidden=8)), recipe, torch.device("cpu"))
    steps: list[loop.TrainingStep] = []
    loop.run(state, recipe, data, device=torch.device("cpu"), on_step=steps.append)
    assert len(steps) == 30
    assert 0 <= steps[-1].accuracy <= 1
    assert round(steps[-1].accuracy * 100) == pytest.approx(steps[-1].accuracy * 100)  # of the 100 digits alone


def test_what_is_kept_lies_between_the_start_and_the_end():
    def run(share: float) -> State:
        torch.manual_seed(0)
        model = networks.build(Recurrent("gru", hidden=8))
        recipe = Recipe(epochs=1, batch_size=20, learning_rate=0.02, interpolation=share)
        state = loop.begin(model, recipe, torch.device("cpu"), trained=True)
        loop.run(state, recipe, few_digits(), device=torch.device("cpu"))
        return state

    start, end = run(0.0), run(1.0)
    for name, weight in trained_start().items():
        torch.testing.assert_close(start.best[name], weight)
        assert not torch.equal(end.best[name], weight)
        torch.testing.assert_close(run(0.25).best[name], torch.lerp(weight, end.best[name], 0.25))
