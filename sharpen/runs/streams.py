"""Named random streams: every draw belongs to a name, never to a global generator.

A stream is a path of names (run seed, scope, the verb's name, task id, sample,
seat, turn, purpose). Its 128-bit key is a hash of that path and drives a
counter-based generator (Philox), so a draw depends on its name alone: not on
what else was drawn, in what order, by how many workers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

Name = str | int


@dataclass(frozen=True, slots=True)
class Stream:
    """A named source of randomness. ``names`` is its path; two equal paths give equal draws."""

    names: tuple[Name, ...]

    def child(self, *names: Name) -> Stream:
        """The stream one or more levels below this one."""
        return Stream(self.names + names)

    @property
    def key(self) -> int:
        """The 128-bit Philox key: a hash of the typed, length-prefixed path."""
        h = hashlib.blake2b(digest_size=16)
        for name in self.names:
            # the type enters, so 1 and "1" differ; the length enters, so
            # ("ab", "c") and ("a", "bc") differ
            part = f"{type(name).__name__}:{name}".encode()
            h.update(len(part).to_bytes(4, "little"))
            h.update(part)
        return int.from_bytes(h.digest(), "little")

    def generator(self) -> np.random.Generator:
        """A fresh numpy generator at the start of this stream."""
        # Philox(key=...) would first ask the system for entropy, which takes three times as long as all else
        return np.random.Generator(np.random.Philox(_Key(self.key)))  # pyright: ignore[reportArgumentType]

    def seed(self) -> int:
        """A 63-bit seed for libraries that take only a number."""
        return self.key & (2**63 - 1)

    def __str__(self) -> str:
        return "/".join(str(n) for n in self.names)


class _Key(ISeedSequence):
    """Gives Philox its key as it is."""

    def __init__(self, key: int) -> None:
        self._key = np.frombuffer(key.to_bytes(16, "little"), "<u8")

    def generate_state(self, n_words: int, dtype: object = np.uint32) -> NDArray[np.uint64]:
        """The key: two words of 64 bits, which is what Philox asks for."""
        assert (n_words, dtype) == (len(self._key), np.uint64)
        return self._key


def stream(*names: Name) -> Stream:
    """The stream named by this path."""
    return Stream(tuple(names))
