"""The native engine: the library's models under our own decode loop, on the CPU in float32.

One pass a token: the new token of every row goes through the model against the cache, and from its
logits come the next id, its log-probabilities, the entropy and the self-certainty. A prompt is prefilled
once for all its samples, which read it together (see ``cache``). Finished rows leave and waiting ones take
their slots; what is still a hole then is filled by the last row, so that the rows in use are always the
first ones of the cache. Where the model is small, each core decodes a batch of its own.

A completion depends on its request and policy alone, bit for bit (``exact``): rows are padded to a
multiple of 8, prompts to a multiple of 8 tokens and prefilled only beside prompts of their own padded
length, each row draws from its own stream, and no kernel used mixes rows (see ``cache`` and ``decode``).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from sharpen.errors import NotFinite, SharpenError
from sharpen.sample import exact
from sharpen.sample.cache import SEATS, Cache, Decode, Prefill, Prefix
from sharpen.sample.decode import permitted
from sharpen.sample.engine import Progress
from sharpen.sample.episode import Annotation, Completion, Ids, Request
from sharpen.sample.forward import (
    Kept,
    TokenScores,
    decoder,
    head_logits,
    packed_hidden,
    packed_layers,
    token_scores,
)
from sharpen.sample.law import SamplingLaw
from sharpen.sample.policy import Policy
from sharpen.sample.products import laid_out
from sharpen.sample.rows import Rows
from sharpen.sample.steering import Hooks
from sharpen.sample.team import together

PREFILL_TOKENS = 2048
"""Prompt tokens prefilled in one pass."""
PACK_TOKENS = 4096
"""Tokens annotated in one pass."""
SMALL = 64 << 20
"""Bytes of weights up to which each thread decodes a batch of its own. Larger ones would be read from memory
by each of them."""
ROWS = 32
"""Rows of such a batch at least."""
MOST = 512
"""Rows of a batch at most: the more, the less what a step costs apart from them."""
CACHE_BYTES = 1 << 30
"""The batch is made smaller where its cache would be larger than this."""


@dataclass(slots=True)
class Fill:
    """How full the batch was, summed over all decoding steps: rows that were sampled, and the seats that the
    engine's own batch size gives them."""

    rows: int = 0
    seats: int = 0


class NativeEngine:
    """See ``engine.Engine``.

    Args:
        refill: let waiting requests take the slots of finished ones; else a batch ends before the next
            begins.
        compact: let the last row fill a hole; else finished rows are computed on and ignored.
        share: prefill a prompt once for all its samples, and let them read a long one together; else each
            of them has its own.
        split: let threads, one a core, decode a share of the requests each, where the model is small; else
            all cores work on each product of one batch.
        lay_out: multiply with large weights as ``products`` does; else as torch does.

    Attributes:
        fill: how full its batches were so far.
    """

    rounding = None

    def __init__(
        self,
        *,
        refill: bool = True,
        compact: bool = True,
        share: bool = True,
        split: bool = True,
        lay_out: bool = True,
    ) -> None:
        self.refill, self.compact, self.share, self.split = refill, compact, share, split
        self.fill = Fill()
        self.lay_out = lay_out
        self._modules: WeakKeyDictionary[PreTrainedModel, PreTrainedModel] = WeakKeyDictionary()
        self._trusted: set[type[PreTrainedModel]] = set()

    @property
    def exact(self) -> bool:
        """See ``exact.probe``."""
        return exact.probe()

    def generate(
        self,
        policy: Policy,
        requests: Sequence[Request],
        *,
        batch: int | None = None,
        on_progress: Progress | None = None,
    ) -> list[Completion]:
        """See ``Engine``. The default batch fits the model: many rows of a small one, fewer of a large."""
        if not requests:
            return []
        check_requests(policy, requests)
        module = self._module(policy)
        length = max(len(r.tokens) + r.max_new_tokens for r in requests)
        room = batch or _room(policy, length)
        members = self._members(policy, module, min(room, len(requests)))
        seats = batch or min(room, MOST * members)
        shares = _shares(requests, members)
        tally = _Tally(len(shares), on_progress)
        loops = [
            _Loop(self, policy, module, [requests[i] for i in share], seats // len(shares), tally.of(n))
            for n, share in enumerate(shares)
        ]
        results: list[Completion | None] = [None] * len(requests)
        for share, loop, done in zip(shares, loops, together([loop.run for loop in loops]), strict=True):
            self.fill.rows += loop.fill.rows
            self.fill.seats += loop.fill.seats
            for index, completion in zip(share, done, strict=True):
                results[index] = completion
        return [c for c in results if c is not None]

    def _members(self, policy: Policy, module: PreTrainedModel, rows: int) -> int:
        """How many loops share the work."""
        small = sum(p.nbytes for p in module.parameters()) <= SMALL
        # a steering's hooks belong to the module, and know one batch
        if not (self.split and small and policy.steering is None):
            return 1
        return max(1, min(torch.get_num_threads(), rows // ROWS))

    @torch.inference_mode()
    def annotate(
        self,
        policy: Policy,
        sequences: Sequence[Ids],
        *,
        law: SamplingLaw | None = None,
        kept: Sequence[Kept | None] | None = None,
        hidden: bool = False,
        prompts: Sequence[int] | None = None,
    ) -> list[Annotation]:
        """See ``Engine``; ``hidden`` has one entry a layer, the last of them normalised.

        Args:
            prompts: how many tokens of each sequence are its prompt. A steered policy needs to know, as its
                steering begins or ends there.
        """
        if policy.steering is not None and prompts is None:
            raise SharpenError(
                f"policy {policy.name!r} is steered: to score text, say where each prompt ends (prompts=...)"
            )
        starts = [0] * len(sequences) if prompts is None else prompts
        check_sequences(policy, sequences)
        module = self._module(policy)
        results: list[Annotation] = []
        with Hooks(module, policy.steering) as hooks:
            for chosen in packs([len(s) for s in sequences]):
                texts = [torch.from_numpy(sequences[i]).long() for i in chosen]
                hooks.generated = torch.cat([torch.arange(len(sequences[i])) >= starts[i] for i in chosen])[
                    None
                ]
                replayed = [None if kept is None else kept[i] for i in chosen]
                results += _annotate(module, texts, law or SamplingLaw(), replayed, hidden)
        for i, note in enumerate(results):
            if not np.isfinite(note.certainty).all():
                raise NotFinite(f"policy {policy.version}: logits of sequence {i} are not finite")
        return results

    @torch.inference_mode()
    def _module(self, policy: Policy) -> PreTrainedModel:
        """The policy's module for sampling, after a look whether its kind of head is one that we compute
        rightly."""
        given = (policy.unsteered or policy).module()
        module = self._modules.get(given)
        if module is None:
            module = laid_out(given) if self.lay_out else given
            if module is not given:  # a value that holds its key would never go
                self._modules[given] = module
        if type(module) not in self._trusted:
            ids = torch.arange(8) % _vocabulary(module)
            theirs = module(ids[None], use_cache=False).logits[0]
            if not torch.allclose(head_logits(module, packed_hidden(module, [ids])), theirs, atol=1e-3):
                raise SharpenError(f"model {policy.name!r}: {type(module).__name__} is not supported")
            self._trusted.add(type(module))
        return module


class _Loop:
    """One batch that is decoded until every request of its own has ended."""

    def __init__(
        self,
        engine: NativeEngine,
        policy: Policy,
        module: PreTrainedModel,
        requests: Sequence[Request],
        seats: int,
        told: Progress,
    ) -> None:
        self._engine, self._policy, self._module = engine, policy, module
        self._requests, self._seats, self._told = requests, seats, told
        self.fill = Fill()

    @torch.inference_mode()
    def run(self, stopped: Callable[[], bool]) -> list[Completion]:
        """The completions, in the order of the requests; not all of them where it was stopped."""
        engine, module, requests = self._engine, self._module, self._requests
        slots = min(self._seats, len(requests))
        rows = Rows(slots, _vocabulary(module), self._policy.tokenizer, requests)
        cache = Cache(len(rows.request), [(len(r.tokens) - 1, r.max_new_tokens) for r in requests])
        waiting = deque(range(len(requests)))
        results: list[Completion | None] = [None] * len(requests)
        done = 0
        with Hooks(module, self._policy.steering) as hooks:
            prompts = _Prompts(module, requests, hooks, share=engine.share)
            while (waiting or rows.used) and not stopped():
                if waiting and (engine.refill or not rows.used):
                    _admit(waiting, rows, cache, prompts)
                if engine.compact:
                    left, taken = rows.compact()
                    if taken:
                        cache.move(left, taken, rows.length[taken])
                    cache.compact(rows.alive)
                self.fill.rows += int(rows.alive.sum())
                self.fill.seats += self._seats
                logits = _step(module, cache, rows, hooks)
                for index, completion in rows.advance(logits, self._policy.version):
                    results[index] = completion
                    done += 1
                if not rows.alive.any():
                    rows.used = 0
                self._told(rows.sampled, done)
        return [c for c in results if c is not None]


class _Tally:
    """Progress of several loops, told as one, by one of them at a time."""

    def __init__(self, loops: int, on_progress: Progress | None) -> None:
        self._counts, self._told, self._lock = np.zeros((loops, 2), np.int64), on_progress, Lock()

    def of(self, loop: int) -> Progress:
        """What this loop tells."""

        def told(tokens: int, done: int) -> None:
            if self._told is not None:
                with self._lock:
                    self._counts[loop] = tokens, done
                    self._told(*self._counts.sum(0).tolist())

        return told


def _shares(requests: Sequence[Request], members: int) -> list[list[int]]:
    """Indices dealt to members, evenly. Those of one prompt that follow each other stay together, as many as
    read it together."""
    shares: list[list[int]] = [[] for _ in range(members)]
    share, run = shares[0], 0
    for i, request in enumerate(requests):
        alike = i > 0 and np.array_equal(request.tokens, requests[i - 1].tokens)
        if not (alike and run % SEATS):
            share, run = min(shares, key=len), 0
        share.append(i)
        run += 1
    return [share for share in shares if share]


class _Prompts:
    """Prefills each distinct prompt once and forgets it when its last request has entered."""

    def __init__(
        self, module: PreTrainedModel, requests: Sequence[Request], hooks: Hooks, *, share: bool
    ) -> None:
        self._module, self._hooks = module, hooks
        # all but the last token, which goes through the decode loop
        self._tokens = [r.tokens[:-1] for r in requests]
        self._keys = [t.tobytes() if share else b"%d" % i for i, t in enumerate(self._tokens)]
        self._left = Counter(self._keys)
        self._ready: dict[bytes, Prefix] = {}

    def take(self, index: int, coming: Iterable[int]) -> Prefix:
        """The prefix of a request that enters now; those of ``coming`` that fit are prefilled beside it."""
        key = self._keys[index]
        if key not in self._ready:
            self._prefill(index, coming)
        prefix = self._ready[key]
        self._left[key] -= 1
        if not self._left[key]:
            del self._ready[key]
        return prefix

    def _prefill(self, index: int, coming: Iterable[int]) -> None:
        """Batch only prompts of equal padded length: the bits of each then depend on it alone."""
        width = _eight(len(self._tokens[index]))
        chosen = {self._keys[index]: self._tokens[index]}
        for other in coming:
            if (len(chosen) + 1) * width > PREFILL_TOKENS:
                break
            if _eight(len(self._tokens[other])) == width and self._keys[other] not in self._ready:
                chosen[self._keys[other]] = self._tokens[other]
        ids = np.zeros((len(chosen), width), np.int64)
        for row, tokens in enumerate(chosen.values()):
            ids[row, : len(tokens)] = tokens
        source = Prefill()
        self._hooks.generated = torch.zeros(ids.shape, dtype=torch.bool)
        if width:
            decoder(self._module)(
                torch.from_numpy(ids),
                position_ids=torch.arange(width).expand(len(ids), -1),
                use_cache=False,
                attend=source,
            )
        for row, key in enumerate(chosen):
            self._ready[key] = Prefix(source, row, key)


def _admit(waiting: deque[int], rows: Rows, cache: Cache, prompts: _Prompts) -> None:
    """Seat waiting requests in the free slots."""
    alive, seated = rows.alive, []
    for slot in rows.free():
        if not waiting:
            break
        index = waiting.popleft()
        prefix = prompts.take(index, islice(waiting, 4 * len(rows.request)))
        rows.enter(slot, index)
        seated.append((slot, prefix, int(rows.length[slot])))
    cache.enter(seated, alive)


def _step(module: PreTrainedModel, cache: Cache, rows: Rows, hooks: Hooks) -> Tensor:
    """Put every row's last token through the model: next-token logits ``(padded, V)``."""
    hooks.generated = torch.from_numpy(rows.generated)[:, None]
    positions = rows.length[: rows.padded]
    hidden = decoder(module)(
        torch.from_numpy(rows.last[: rows.padded, None]),
        position_ids=torch.from_numpy(positions)[:, None],
        use_cache=False,
        attend=Decode(cache, positions, rows.alive[: rows.padded]),
    ).last_hidden_state
    return head_logits(module, hidden[:, 0])


def _annotate(
    module: PreTrainedModel, texts: list[Tensor], law: SamplingLaw, kept: list[Kept | None], hidden: bool
) -> Iterator[Annotation]:
    """Score one pack. Entry t of a text comes from the state before it; entry 0 has none and is 0."""
    lengths = [len(t) for t in texts]
    layers = packed_layers(module, texts) if hidden else None
    states = packed_hidden(module, texts) if layers is None else layers[-1]
    before = torch.cat([h[:-1] for h in states.split(lengths)])
    targets = torch.cat([t[1:] for t in texts])
    replayed = None
    if any(k is not None for k in kept):
        replayed = [s for t, k in zip(texts, kept, strict=True) for s in (k or [None] * len(t))[1:]]
    scores = token_scores(module, before, targets, law, replayed)
    columns = [getattr(scores, f.name).split([n - 1 for n in lengths]) for f in fields(TokenScores)]
    parts = layers.split(lengths, dim=1) if layers is not None else [None] * len(texts)
    for *numbers, part in zip(*columns, parts, strict=True):
        padded = [np.concatenate([np.zeros(1, np.float32), x.numpy()]) for x in numbers]
        yield Annotation(*padded, hidden=None if part is None else part.numpy().copy())


def packs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices in order, cut where a pack would hold more than ``PACK_TOKENS``."""
    pack: list[int] = []
    held = 0
    for i, length in enumerate(lengths):
        if pack and held + length > PACK_TOKENS:
            yield pack
            pack, held = [], 0
        pack.append(i)
        held += length
    if pack:
        yield pack


def check_requests(policy: Policy, requests: Sequence[Request]) -> None:
    """Refuse, before anything is computed, what the model cannot take.

    Raises SharpenError that names the request's stream.
    """
    for law in {r.law for r in requests}:
        permitted(law, policy.config.get_text_config().vocab_size)
    for r in requests:
        _check_ids(policy, r.tokens, str(r.stream))
        if r.max_new_tokens < 1:
            raise SharpenError(f"{r.stream}: max_new_tokens is {r.max_new_tokens}, at least 1 is needed")
        if len(r.tokens) + r.max_new_tokens > policy.context:
            raise SharpenError(
                f"{r.stream}: a prompt of {len(r.tokens)} and {r.max_new_tokens} new tokens exceed the "
                f"context of {policy.context}"
            )


def check_sequences(policy: Policy, sequences: Sequence[Ids]) -> None:
    """Refuse texts that the model cannot score, before anything is computed.

    Raises SharpenError that names the text by its index.
    """
    for i, ids in enumerate(sequences):
        _check_ids(policy, ids, f"sequence {i}")
        if len(ids) > policy.context:
            raise SharpenError(f"sequence {i}: {len(ids)} tokens, the context takes {policy.context}")


def _check_ids(policy: Policy, ids: Ids, where: str) -> None:
    vocabulary = policy.config.get_text_config().vocab_size
    if len(ids) == 0:
        raise SharpenError(f"{where}: no tokens")
    if ids.min() < 0 or ids.max() >= vocabulary:
        raise SharpenError(f"{where}: token {ids.max()} is not in the vocabulary of {vocabulary}")


def _room(policy: Policy, length: int) -> int:
    """Rows of so many tokens whose keys and values fit."""
    config = policy.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    row = 8 * config.num_hidden_layers * heads * size * length
    return max(8, CACHE_BYTES // row // 8 * 8)


def _vocabulary(module: PreTrainedModel) -> int:
    return int(module.get_output_embeddings().weight.shape[0])  # type: ignore[union-attr, arg-type]


def _eight(length: int) -> int:
    return -(-length // 8) * 8
