"""What a workload is: sides that do the same work, and the ratio that ours is to reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from measuring import HERE, OURS, Side

Job = dict[str, Any]
Jobs = Callable[[bool, int, int], Job]
"""(smoke, repeat, repeats) -> what every side of a repeat is given."""


@dataclass(frozen=True)
class Workload:
    """A row of the table.

    Attributes:
        key: W1, W1b, ...
        title: what is done.
        job: the work of one repeat; makes the models and texts that it names.
        ours: our side.
        peers: the others.
        targets: by peer, how many times as much work a second ours is to do; a peer without one is measured.
        same: counts that all sides must share.
        repeats: how often, unless the command says otherwise.
        tuned_on: the work by which a peer's choices are compared, where the row's own takes too long.
        fresh: every repeat is a new process, as its start is timed too.
        together: all sides are one script with other settings and take turns in one process. Two processes of
            the same code differ by more, in where their memory lies, than such sides may.
    """

    key: str
    title: str
    job: Jobs
    ours: Side
    peers: tuple[Side, ...]
    targets: Mapping[str, float] = field(default_factory=dict)
    same: tuple[str, ...] = ()
    repeats: int = 5
    tuned_on: Jobs | None = None
    fresh: bool = False
    together: bool = False

    @property
    def sides(self) -> tuple[Side, ...]:
        """All of them, ours first."""
        return (self.ours, *self.peers)


def ours(script: str, **settings: Any) -> Side:
    """Our side: a script beside this one."""
    return Side(OURS, HERE / script, settings=settings)


def peer(name: str, script: str, venv: str, *tuned: Mapping[str, Any], **settings: Any) -> Side:
    """A peer's side: a script of ``peers/`` in the peer's environment."""
    return Side(name, HERE / "peers" / script, venv, settings, tuned)
