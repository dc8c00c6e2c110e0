"""A barrier between many control flows and one engine: the engine works when every live flow waits for it.

Strategies and environments are plain ``async`` functions. Each runs until it needs the model; when all that
are alive wait, whatever they asked for goes to the engine as one batch, and they go on. So a search over a
hundred tasks, each with its own branches, fills a batch that none of them could fill alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
T = TypeVar("T")


class Later:
    """Served in place of a result: the item stays, and is handed over again with the next batch."""


LATER = Later()


@dataclass(eq=False)
class Barrier(Generic[Item, Result]):
    """Collects what live control flows ask for and serves it in batches.

    Args:
        serve: given all that is waited for, in the order in which it was asked, returns for each item its
            result, an exception (raised where it was asked) or ``LATER``; never ``LATER`` for all of them.
            What it raises itself ends everything.
    """

    serve: Callable[[Sequence[Item]], Sequence[Result | BaseException | Later]]
    _live: int = 0
    _waiting: list[tuple[Item, asyncio.Future[Result]]] = field(default_factory=list)
    _due: bool = False
    _broken: Exception | None = None

    def run(self, flows: Sequence[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
        """Run the flows to their ends and return, in order, what each returned or raised.

        Call it from plain code: it owns the event loop. Ctrl-C ends everything and is raised.
        """

        async def all_of_them() -> list[T | BaseException]:
            return await self._together(flows)

        self._live, self._waiting, self._due, self._broken = 0, [], False, None
        # a loop of our own: asyncio.run would hold Ctrl-C back until a batch has been served
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(all_of_them())
        except RuntimeError:
            if self._broken is not None:
                raise self._broken from None
            raise
        finally:
            loop.run_until_complete(_end(asyncio.all_tasks(loop)))
            loop.close()

    async def ask(self, item: Item) -> Result:
        """Wait until the batch that holds ``item`` has been served."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._look()
        return await future

    async def gather(self, *flows: Coroutine[Any, Any, T]) -> list[T]:
        """Run branches of a live flow at once and return what they returned, in order.

        The first exception in their order is raised, after all of them have ended. Use it instead of
        ``asyncio.gather``, whose branches the barrier does not know of.
        """
        if not flows:
            return []
        self._live -= 1  # while its branches run, the flow itself waits
        found = await self._together(flows)
        for problem in found:
            if isinstance(problem, BaseException):
                raise problem
        return [f for f in found if not isinstance(f, BaseException)]

    async def _together(self, flows: Sequence[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
        self._live += len(flows)
        left = len(flows)

        async def one(flow: Coroutine[Any, Any, T]) -> T | BaseException:
            nonlocal left
            try:
                return await flow
            except Exception as problem:
                return problem
            finally:
                left -= 1
                # the last one to end hands its place to the flow that gathered them
                if left:
                    self._live -= 1
                    self._look()

        return await asyncio.gather(*(one(f) for f in flows))

    def _look(self) -> None:
        if self._waiting and len(self._waiting) >= self._live and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._fire)

    def _fire(self) -> None:
        self._due = False
        if len(self._waiting) < self._live:  # one that was counted as waiting has gone on meanwhile
            return
        given, self._waiting = self._waiting, []
        served: Sequence[Result | BaseException | Later]
        try:
            served = self.serve([item for item, _ in given])
            if len(served) != len(given) or all(isinstance(s, Later) for s in served):
                raise AssertionError(f"{len(given)} items were not served")
        except Exception as problem:
            self._broken = problem
            asyncio.get_running_loop().stop()
            return
        for (item, future), result in zip(given, served, strict=True):
            if isinstance(result, Later):
                self._waiting.append((item, future))
            elif isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._look()


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel what still runs, and let it clean up."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
