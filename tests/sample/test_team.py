"""Work side by side: order, failures, interruption, and what stays of the thread count."""

import threading

import pytest
import torch

from sharpen.sample.team import together


def test_results_come_in_order_each_from_a_thread_with_one_core(two_threads):
    meet = threading.Barrier(3, timeout=30)

    def work(n):
        def done(stopped):
            meet.wait()  # passes only where all three run at once
            return n, torch.get_num_threads(), threading.get_ident()

        return done

    found = together([work(n) for n in range(3)])
    assert [n for n, _, _ in found] == [0, 1, 2]
    assert [threads for _, threads, _ in found] == [1, 1, 1]
    assert len({ident for *_, ident in found} | {threading.get_ident()}) == 4


def test_one_alone_keeps_this_thread_and_its_cores(two_threads):
    [(ident, threads)] = together([lambda stopped: (threading.get_ident(), torch.get_num_threads())])
    assert (ident, threads) == (threading.get_ident(), 2)


def test_a_failure_stops_the_others_and_comes_out(two_threads):
    def fails(stopped):
        raise ValueError("this one")

    def goes_on(stopped):
        while not stopped():
            pass
        return "stopped"

    with pytest.raises(ValueError, match="this one"):
        together([goes_on, fails])
    assert torch.get_num_threads() == 2
    begun = []
    thread = threading.Thread(target=lambda: begun.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert begun == [2], "new threads begin with what this one has"


def test_an_interruption_stops_all(two_threads, monkeypatch):
    from sharpen.sample import team

    ended = []

    def goes_on(stopped):
        while not stopped():
            pass
        ended.append(1)

    waits = []

    def interrupted(futures, **options):
        waits.append(options)
        if len(waits) == 1:
            raise KeyboardInterrupt
        return wait(futures, **options)

    wait = team.wait
    monkeypatch.setattr(team, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        together([goes_on, goes_on])
    assert len(ended) == 2
