"""Independent work on several threads, each of which computes on one core.

A product of small matrices gains little from a second core; two such products side by side gain more.
So where a model is small, work is dealt to threads instead of products to cores. With MKL's strict mode a
product has the same bits either way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import cache
from threading import Event
from typing import TypeVar

import torch

T = TypeVar("T")
Work = Callable[[Callable[[], bool]], T]
"""Is given a function that says whether to stop, because other work failed or the user asked; then what it
returns is not used."""


def together(works: Sequence[Work[T]]) -> list[T]:
    """Do all of ``works`` at once, each on a thread and a core of its own; what they return, in order.

    One alone is done here, with all cores. Raises what the first of them that fails raises, when all have
    ended.
    """
    if len(works) == 1:
        return [works[0](lambda: False)]
    threads, stop = torch.get_num_threads(), Event()
    futures: list[Future[T]] = []
    try:
        futures += [_pool(len(works)).submit(_alone, work, stop.is_set) for work in works]
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        stop.set()
        wait(futures)
        # a thread's number of cores is its own, but what new threads begin with is not
        torch.set_num_threads(threads)
    return [future.result() for future in futures]


def _alone(work: Work[T], stopped: Callable[[], bool]) -> T:
    torch.set_num_threads(1)
    return work(stopped)


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    # kept: MKL has memory for every thread, and does not give it back when one ends
    return ThreadPoolExecutor(size, thread_name_prefix="sharpen-team")


# a child process has none of its parent's threads
os.register_at_fork(after_in_child=_pool.cache_clear)
