"""Many control flows share one engine's batch; one that fails does not stop the others."""

from __future__ import annotations

import pytest

from sharpen.sample.barrier import LATER, Barrier


class Tens:
    """Serves each number as ten times itself, and remembers the batches."""

    def __init__(self):
        self.batches = []

    def __call__(self, items):
        self.batches.append(list(items))
        return [10 * i for i in items]


async def twice(barrier, k):
    first = await barrier.ask(k)
    return await barrier.ask(first)


def test_a_batch_holds_what_all_live_flows_wait_for():
    tens = Tens()
    barrier = Barrier(tens)
    assert barrier.run([twice(barrier, k) for k in range(3)]) == [0, 100, 200]
    assert tens.batches == [[0, 1, 2], [0, 10, 20]]
    assert barrier.run([]) == []


def test_flows_of_different_length_never_wait_for_the_dead():
    tens = Tens()
    barrier = Barrier(tens)

    async def count(n):
        for i in range(n):
            await barrier.ask(i)
        return n

    assert barrier.run([count(1), count(3), count(0), count(2)]) == [1, 3, 0, 2]
    assert [len(b) for b in tens.batches] == [3, 2, 1]


def test_branches_of_all_flows_share_the_batch():
    tens = Tens()
    barrier = Barrier(tens)

    async def leaf(k):
        return await barrier.ask(k)

    async def branch(k):
        return sum(await barrier.gather(leaf(k), leaf(k + 1)))

    async def tree(k):
        assert await barrier.gather() == []
        return await barrier.gather(branch(k), branch(k + 10), barrier.ask(k))

    assert barrier.run([tree(0), tree(100)]) == [[10, 210, 0], [2010, 2210, 1000]]
    assert [len(b) for b in tens.batches] == [10]


def test_a_flow_that_raises_does_not_stop_the_rest():
    barrier = Barrier(Tens())

    async def bad(k):
        if k:
            await barrier.ask(k)
        raise ValueError(str(k))

    async def parent():
        with pytest.raises(ValueError, match="0"):
            await barrier.gather(twice(barrier, 1), bad(0), bad(2))
        return await barrier.ask(4)

    found = barrier.run([bad(0), twice(barrier, 1), parent(), bad(3)])
    assert [str(f) for f in found] == ["0", "100", "40", "3"]


def test_an_item_may_be_refused_or_wait():
    rounds = []

    def serve(items):
        rounds.append(list(items))
        return [ValueError("no") if i < 0 else i if k == 0 else LATER for k, i in enumerate(items)]

    barrier = Barrier(serve)
    found = barrier.run([barrier.ask(-1), barrier.ask(1), barrier.ask(2)])
    assert [str(f) for f in found] == ["no", "1", "2"]
    assert rounds == [[-1, 1, 2], [1, 2], [2]]


@pytest.mark.parametrize("problem", [KeyError("boom"), KeyboardInterrupt()])
def test_what_serving_raises_ends_everything(problem):
    ended = []

    def serve(items):
        raise problem

    async def flow():
        try:
            await barrier.ask(1)
        finally:
            ended.append(True)

    barrier = Barrier(serve)
    with pytest.raises(type(problem)):
        barrier.run([flow(), flow()])
    assert len(ended) == 2
    barrier.serve = Tens()
    assert barrier.run([barrier.ask(1)]) == [10]


def test_what_is_not_served_is_an_error_and_no_hang():
    short, never = Barrier(lambda items: []), Barrier(lambda items: [LATER for _ in items])
    for barrier in (short, never):
        with pytest.raises(AssertionError, match="not served"):
            barrier.run([barrier.ask(1)])


def test_other_awaits_do_not_fire_the_batch_early():
    import asyncio

    tens = Tens()
    barrier = Barrier(tens)

    async def slow(k):
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
        return await barrier.ask(k)

    assert barrier.run([slow(1), barrier.ask(2)]) == [10, 20]
    assert tens.batches == [[2, 1]]
