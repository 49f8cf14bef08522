"""The batcher: who waits together runs together, each gets its own, and nobody's is computed who has gone."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from edge.service.microbatching import LARGEST_BATCH, Batcher, Outputs
from edge.service.requests import RequestError


class Model:
    """Answers with the first pixel of each image, when it is let."""

    def __init__(self):
        self.batches = []
        self.threads = set()
        self.let = threading.Event()
        self.let.set()

    def __call__(self, images):
        self.let.wait(10)
        self.batches.append(len(images))
        self.threads.add(threading.current_thread())
        if images[0, 0, 1]:
            raise ValueError("broken")
        first = images[:, 0, 0].astype(np.float32)[:, None]
        return Outputs(first, first / 255, first[:, 0].astype(np.float64))


def pixels(*values, broken=0):
    images = np.zeros((len(values), 28, 28), np.uint8)
    images[:, 0, 0] = values
    images[:, 0, 1] = broken
    return images.tobytes()


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def run(model):
    """Runs a coroutine that is given a batcher."""

    def start(work, queue_seconds=10.0, inline_seconds=-1.0):
        with ThreadPoolExecutor(2) as executor:

            async def main():
                return await work(
                    Batcher(
                        model,
                        executor,
                        observe=lambda _: None,
                        queue_seconds=queue_seconds,
                        inline_seconds=inline_seconds,
                    )
                )

            return asyncio.run(main())

    return start


def test_a_single_request_runs_alone_and_at_once(run, model):
    async def work(batcher):
        return await batcher.submit(pixels(7))

    assert run(work).logits.tolist() == [[7.0]]
    assert model.batches == [1]


def test_what_came_while_the_model_was_busy_runs_together_and_everybody_gets_their_own(run, model):
    async def work(batcher):
        model.let.clear()
        futures = [batcher.submit(pixels(1))]
        while batcher.waiting:  # the first one is taken
            await asyncio.sleep(0.001)
        futures += [batcher.submit(pixels(*range(at, at + 3))) for at in range(10, 50, 10)]
        model.let.set()
        return [(await future).logits[:, 0].tolist() for future in futures]

    assert run(work) == [[1], [10, 11, 12], [20, 21, 22], [30, 31, 32], [40, 41, 42]]
    assert model.batches == [1, 12]


def test_a_run_has_no_more_images_than_the_largest_batch_unless_one_request_has(run, model):
    async def work(batcher):
        model.let.clear()
        futures = [batcher.submit(pixels(0))]
        while batcher.waiting:
            await asyncio.sleep(0.001)
        futures += [batcher.submit(pixels(*[1] * size)) for size in (200, 56, 1, 300, 2)]
        model.let.set()
        await asyncio.gather(*futures)

    run(work)
    assert model.batches == [1, LARGEST_BATCH, 1, 300, 2]


def test_a_request_that_is_gone_is_not_computed(run, model):
    async def work(batcher):
        model.let.clear()
        first = batcher.submit(pixels(0))
        while batcher.waiting:
            await asyncio.sleep(0.001)
        gone, stays = batcher.submit(pixels(1)), batcher.submit(pixels(2))
        gone.cancel()
        model.let.set()
        await first
        return (await stays).logits.tolist()

    assert run(work) == [[2.0]]
    assert model.batches == [1, 1]


def test_an_error_goes_to_those_who_ran_and_the_next_ones_go_on(run, model):
    async def work(batcher):
        with pytest.raises(ValueError, match="broken"):
            await batcher.submit(pixels(0, broken=1))
        return (await batcher.submit(pixels(3))).logits.tolist()

    assert run(work) == [[3.0]]


def test_who_waited_too_long_is_refused_and_not_computed(run, model):
    async def work(batcher):
        with pytest.raises(RequestError) as refused:
            await batcher.submit(pixels(1))
        return refused.value.status

    assert run(work, queue_seconds=-1.0) == 503
    assert model.batches == []


def test_what_one_pass_of_the_loop_brings_runs_together_without_a_thread(run, model):
    async def work(batcher):
        futures = [batcher.submit(pixels(value)) for value in (5, 6, 7)]
        return [(await future).logits.tolist() for future in futures]

    assert run(work, inline_seconds=60.0) == [[[5.0]], [[6.0]], [[7.0]]]
    assert model.batches == [3]
    assert model.threads == {threading.main_thread()}


def test_a_run_that_would_keep_the_loop_goes_to_a_thread(run, model):
    async def work(batcher):
        await batcher.submit(pixels(5))

    run(work)
    assert model.threads.isdisjoint({threading.main_thread()})
