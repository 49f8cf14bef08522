"""What the driver does with Ray, by a play of Ray in this process; `engines/ray_engine.py` runs the real one."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


class RayTaskError(Exception):
    """What Ray gives for an exception in an actor."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class RayActorError(Exception):
    """What Ray gives for an actor that is dead."""


class Play(ModuleType):
    """Ray's functions that the driver calls; actors live here, and work when their results are waited for."""

    def __init__(self):
        super().__init__("ray")
        self.exceptions = ModuleType("ray.exceptions")
        self.exceptions.RayTaskError, self.exceptions.RayActorError = RayTaskError, RayActorError
        self.started, self.calls, self.fails = [], 0, None

    def init(self, **options):
        if isinstance(self.fails, ConnectionError):
            raise self.fails
        self.started.append(options)

    def shutdown(self):
        self.started.append("ended")

    def cluster_resources(self):
        return {"CPU": 2.0}

    def put(self, value):
        return lambda: value

    def get(self, reference):
        return reference()

    def wait(self, references, num_returns):
        return references[-num_returns:], references[:-num_returns]  # the last first: the order must not matter

    def remote(self, kind):
        def make(*arguments):
            actor = kind(*arguments)
            return SimpleNamespace(read=SimpleNamespace(remote=lambda *words: lambda: self._work(actor, words)))

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=make))

    def _work(self, actor, words):
        self.calls += 1
        if self.fails is not None:
            raise self.fails
        return actor.read(*words)


@pytest.fixture
def ray(monkeypatch):
    play = Play()
    monkeypatch.setitem(sys.modules, "ray", play)
    monkeypatch.setitem(sys.modules, "ray.exceptions", play.exceptions)
    return play


@pytest.fixture
def predict(edge_command, bundle_path, tree):
    """`edge predict` of the tree, in parts of ten."""

    def run(*words):
        return edge_command("predict", str(tree), "--model", bundle_path, "--part-rows", "10", *words)

    return run


def test_actors_read_the_same_rows_as_this_process(ray, predict, helpers):
    assert predict("--out", "here").code == 0
    ended = predict("--out", "there", "--engine", "ray", "--actors", "2")
    assert ended.code == 0
    assert ended.out.startswith("61 pictures, 1 errors, 0 rejected; ")
    assert list(map(helpers.rounded, helpers.rows_in("there"))) == list(map(helpers.rounded, helpers.rows_in("here")))
    assert ray.started == [
        {"address": "local", "num_cpus": ray.started[0]["num_cpus"], "include_dashboard": False}
        | {"log_to_driver": False, "logging_level": "ERROR"},
        "ended",
    ]


def test_actors_are_given_only_the_parts_that_are_missing(ray, predict):
    predict("--out", "there")
    for part in (1, 4):
        Path(f"there/part-{part:06}.jsonl").unlink()
    assert "41 of them read before" in predict("--out", "there", "--engine", "ray").out
    assert ray.calls == 2
    assert "nothing was left to read" in predict("--out", "there", "--engine", "ray").out
    assert ray.calls == 2


def test_actors_that_end_again_and_again_end_the_run_with_what_to_do(ray, predict):
    ray.fails = RayActorError("\x1b[31mThe actor died\x1b[0m\nmore")
    ended = predict("--out", "there", "--engine", "ray")
    assert ended.code == 1
    assert "edge: the actors of Ray end again and again (The actor died); the same command goes on" in ended.err
    ray.fails = None
    assert predict("--out", "there", "--engine", "ray").code == 0


def test_an_error_of_edge_s_in_an_actor_is_told_as_here(ray, predict):
    from edge.errors import InputError

    ray.fails = RayTaskError(InputError("this provider is not here; take another"))
    ended = predict("--out", "there", "--engine", "ray")
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == "edge: this provider is not here; take another"


@pytest.mark.parametrize(
    ("words", "told"),
    [((), "Ray does not start here (refused)"), (("--address", "auto"), "Ray at auto cannot be reached (refused)")],
)
def test_a_ray_that_is_not_reached_is_told_and_nothing_is_left_running(ray, predict, words, told):
    ray.fails = ConnectionError("refused")
    ended = predict("--out", "there", "--engine", "ray", *words)
    assert ended.code == 1
    assert told in ended.err
    assert ray.started == ["ended"]
