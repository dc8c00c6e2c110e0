"""The bookkeeping of the decode loop: which request sits in which slot, and what it has got so far.

One numpy array an attribute, one entry a slot, so a step costs the same few calls for 8 rows as for 256;
only rows that finish, and rows with stop strings, are touched one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from sharpen.errors import NotFinite
from sharpen.sample.decode import Drawn, History, draw
from sharpen.sample.episode import Completion, Finish, Request
from sharpen.sample.law import SamplingLaw

_NUMBERS = ("logprobs", "raw_logprobs", "entropy", "certainty")


class Rows:
    """Up to ``slots`` requests being sampled, in the first ``used`` of ``slots`` rounded up to 8 rows.

    Attributes:
        used: rows that may be alive; the step computes these, rounded up to a multiple of 8.
        request: index of the request in each slot, -1 in a free one.
        length: tokens of each row that the cache holds; the next one goes there. 0 in a free slot.
        last: the token of each row that goes through the model next.
        sampled: tokens sampled so far, over all rows.
    """

    def __init__(
        self, slots: int, vocabulary: int, tokenizer: PreTrainedTokenizerBase, requests: Sequence[Request]
    ) -> None:
        self._requests, self._tokenizer, self._slots = requests, tokenizer, slots
        rows = -(-slots // 8) * 8
        self.used = self.sampled = 0
        self.request = np.full(rows, -1)
        self.length, self.last, self._count, self._limit, self._ends, self._law = np.zeros(
            (6, rows), np.int64
        )
        longest = max(r.max_new_tokens for r in requests)
        self._uniforms = np.zeros((rows, longest))
        self._ids = np.zeros((rows, longest), np.int32)
        self._numbers = {name: np.zeros((rows, longest), np.float32) for name in _NUMBERS}
        self._kept: list[list] = [[] for _ in range(rows)]
        self._watches: dict[int, StopWatch] = {}
        laws = list(dict.fromkeys(r.law for r in requests))
        ends = list(dict.fromkeys(r.eos_ids for r in requests))
        self._laws, self._law_index = laws, {law: i for i, law in enumerate(laws)}
        self._ends_index = {ids: i for i, ids in enumerate(ends)}
        self._is_end = np.zeros((len(ends), vocabulary), dtype=bool)
        for i, ids in enumerate(ends):
            self._is_end[i, list(ids)] = True
        self._history = None
        if any(law.penalises for law in laws):
            self._history = History(
                torch.zeros(rows, vocabulary, dtype=torch.bool), torch.zeros(rows, vocabulary)
            )

    @property
    def padded(self) -> int:
        """How many rows the step computes."""
        return -(-self.used // 8) * 8

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Whether a request is in each slot."""
        return self.request >= 0

    @property
    def generated(self) -> NDArray[np.bool_]:
        """Whether the token that goes through the model next is a sampled one, ``(padded,)``."""
        return self._count[: self.padded] > 0

    def free(self) -> list[int]:
        """The slots that a request may enter, first ones first."""
        return np.flatnonzero(self.request[: self._slots] < 0).tolist()

    def enter(self, slot: int, index: int) -> None:
        """Seat a request. All but the last token of its prompt are in the cache; that one comes next."""
        request = self._requests[index]
        self.request[slot] = index
        self.length[slot], self.last[slot] = len(request.tokens) - 1, request.tokens[-1]
        self._count[slot], self._limit[slot] = 0, request.max_new_tokens
        self._law[slot] = self._law_index[request.law]
        self._ends[slot] = self._ends_index[request.eos_ids]
        # one uniform a token, drawn by the request alone
        self._uniforms[slot, : request.max_new_tokens] = request.stream.generator().random(
            request.max_new_tokens
        )
        self._kept[slot] = []
        if request.stop:
            self._watches[slot] = StopWatch(self._tokenizer, request.stop)
        if self._history is not None:
            self._history.seen[slot] = False
            self._history.seen[slot, torch.from_numpy(request.tokens).long()] = True
            self._history.counts[slot] = 0
        self.used = max(self.used, slot + 1)

    def compact(self) -> tuple[list[int], list[int]]:
        """Let the last rows fill holes, where the step computes fewer rows then; gives the slots that were
        left and, in the same order, those that were taken."""
        alive = np.flatnonzero(self.request >= 0)
        enough = -(-len(alive) // 8) * 8
        sources = alive[alive >= enough]
        targets = np.flatnonzero(self.request[:enough] < 0)[: len(sources)]
        if len(sources):
            for array in (self.request, self.length, self.last, self._count, self._limit, self._ends):
                array[targets] = array[sources]
            for array in (self._law, self._uniforms, self._ids, *self._numbers.values()):
                array[targets] = array[sources]
            if self._history is not None:
                self._history.seen[targets] = self._history.seen[sources]
                self._history.counts[targets] = self._history.counts[sources]
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            self._kept[target] = self._kept[source]
            if source in self._watches:
                self._watches[target] = self._watches.pop(source)
            self._clear(source)
        self.used = int(np.flatnonzero(self.request >= 0).max(initial=-1)) + 1
        return sources.tolist(), targets.tolist()

    def advance(
        self, logits: Tensor, version: str, rows: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[int, Completion]]:
        """Sample the next token of every row, or of ``rows``, from ``logits`` ``(padded, V)``; gives the
        requests that end with it and their completions. Raises NotFinite where logits are not finite."""
        if rows is None:
            rows = np.flatnonzero(self.request[: self.used] >= 0)
        ids = np.zeros(self.padded, np.int64)
        for law_id in set(self._law[rows].tolist()):
            chosen = rows[self._law[rows] == law_id]
            drawn = self._draw(logits, chosen, self._laws[law_id])
            finite = np.isfinite(drawn.certainty)
            if not finite.all():
                bad = self._requests[int(self.request[chosen[~finite][0]])]
                raise NotFinite(f"policy {version}: logits of {bad.stream} are not finite")
            at = self._count[chosen]
            ids[chosen] = self._ids[chosen, at] = drawn.ids
            for name in _NUMBERS:
                self._numbers[name][chosen, at] = getattr(drawn, name)
            for slot, kept in zip(chosen.tolist(), drawn.kept or (), strict=False):
                self._kept[slot].append(kept)
        if self._history is not None:
            where = torch.from_numpy(rows), torch.from_numpy(ids[rows])
            self._history.seen[where] = True
            self._history.counts[where] += 1
        self._count[rows] += 1
        self.length[rows] += 1
        self.last[rows] = ids[rows]
        self.sampled += len(rows)
        return self._finished(rows, ids)

    def _draw(self, logits: Tensor, chosen: np.ndarray, law: SamplingLaw) -> Drawn:
        """Sample the chosen rows, in a batch padded to a multiple of 8 so that no kernel sees a lone one."""
        rows = np.resize(chosen, -(-len(chosen) // 8) * 8)
        # holes are drawn too where this makes no more rows: a copy of the logits would cost more
        whole = len(rows) == len(logits) and len(chosen) == self.alive.sum()
        if whole:
            rows = np.arange(len(logits))
        where = torch.from_numpy(rows)
        history = None
        if law.penalises and self._history is not None:
            history = History(self._history.seen[where], self._history.counts[where])
        uniforms = self._uniforms[rows, np.minimum(self._count[rows], self._uniforms.shape[1] - 1)]
        drawn = draw(logits if whole else logits[where], law, uniforms, history)
        mine = chosen if whole else np.arange(len(chosen))
        numbers = {name: getattr(drawn, name)[mine] for name in _NUMBERS}
        return Drawn(drawn.ids[mine], **numbers, kept=drawn.kept and [drawn.kept[i] for i in mine])

    def _finished(self, rows: np.ndarray, ids: np.ndarray) -> Iterator[tuple[int, Completion]]:
        ended = self._is_end[self._ends[rows], ids[rows]]
        full = self._count[rows] >= self._limit[rows]
        over = ended | full
        watched = [s for s in rows.tolist() if s in self._watches]
        stopped = {s for s in watched if self._watches[s].push(int(ids[s]))}
        for slot in {*rows[over].tolist(), *stopped}:
            reason = Finish.LENGTH
            if self._is_end[self._ends[slot], ids[slot]]:
                reason = Finish.EOS
            elif slot in stopped:
                reason = Finish.STOP
            yield int(self.request[slot]), self._completion(slot, reason)
            self._clear(slot)

    def _completion(self, slot: int, reason: Finish) -> Completion:
        n = int(self._count[slot])
        law = self._laws[self._law[slot]]
        return Completion(
            tokens=self._ids[slot, :n].copy(),
            **{name: numbers[slot, :n].copy() for name, numbers in self._numbers.items()},
            finish=reason,
            kept=tuple(self._kept[slot]) if law.truncates and not law.greedy else None,
        )

    def _clear(self, slot: int) -> None:
        self.request[slot] = -1
        self.length[slot] = self.last[slot] = self._count[slot] = 0
        self._kept[slot] = []
        self._watches.pop(slot, None)


class StopWatch:
    """Tells when a completion's text comes to hold one of some strings.

    Only as many of the last tokens are decoded as can hold the longest string (a character may take four
    byte tokens) with some to spare, so a step costs the same at any length.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str]) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._window = 4 * max(len(s) for s in stop) + 16
        self._tokens: list[int] = []

    def push(self, token: int) -> bool:
        """Take the next token; whether the text now holds a string."""
        self._tokens = [*self._tokens[1 - self._window :], token]
        text = self._tokenizer.decode(self._tokens, clean_up_tokenization_spaces=False)
        return any(s in text for s in self._stop)
