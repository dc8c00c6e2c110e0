"""How sure a model was of what it wrote: one number a response, larger is surer, no training, no labels.

Self-certainty and its relatives (arXiv 2502.18581): the mean over a response's sampled positions of a
number taken from the model's raw next-token distribution (temperature 1, nothing cut). Two ways in: from
the numbers that the engine stored with every token, or from logits over the whole vocabulary.

A response without tokens scores ``-inf``, and so does one whose numbers are NaN; both are counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpen.errors import SharpenError, unknown
from sharpen.sample.episode import Episode
from sharpen.score.group import Columns

Array = NDArray[np.float64]
Stored = Literal["certainty", "logprob", "entropy"]
Measure = Literal["certainty", "entropy", "gini", "perplexity", "kl"]
Align = Literal["paper", "repo"]

# a stored per-token array, and the sign that makes larger surer
_STORED = {"certainty": ("certainty", 1.0), "logprob": ("raw_logprobs", 1.0), "entropy": ("entropy", -1.0)}
_MEASURES = ("certainty", "entropy", "gini", "perplexity", "kl")
_BLOCK = 1 << 22  # numbers worked on at once, 32 MiB of float64
_RESOLUTION = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of the samples of one task, fit for ranking.

    Attributes:
        values: float64 ``(n,)``, never NaN; ``-inf`` for what cannot be scored.
        unscored: how many samples have tokens but a score that is NaN.
        empty: how many have no token.
    """

    values: Array
    unscored: int = 0
    empty: int = 0


def sentence(values: ArrayLike) -> float:
    """The mean of per-token numbers, summed in float64; ``-inf`` without tokens. NaN stays NaN."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()) if array.size else -math.inf


def rankable(means: ArrayLike, lengths: ArrayLike) -> Scores:
    """Scores in which NaN has become ``-inf``, and is counted. ``means`` and ``lengths`` are ``(n,)``."""
    values, n = np.array(means, dtype=np.float64), np.asarray(lengths)
    lost, empty = np.isnan(values) & (n > 0), n == 0
    values[lost | empty] = -math.inf
    return Scores(values, int(lost.sum()), int(empty.sum()))


def episode_scores(episodes: Sequence[Episode], signal: Stored) -> Scores:
    """Scores of one task's episodes from the numbers stored with their sampled tokens, end token included.

    Args:
        episodes: with their tokens.
        signal: ``certainty`` (self-certainty), ``logprob`` (average log-probability, whose order is that of
            negative perplexity) or ``entropy`` (negative entropy), nats.

    Raises:
        SharpenError: no token has the number, as from engines that see only the top of the vocabulary.
    """
    attribute, sign = _stored(signal)
    per_token = []
    for episode in episodes:
        parts = [getattr(s.sampled, attribute) for s in episode.spans if s.sampled is not None]
        per_token.append(np.concatenate(parts) if parts else np.zeros(0, np.float32))
    told = np.concatenate(per_token) if per_token else np.zeros(0, np.float32)
    _refuse_untold(told, signal)
    return rankable([sign * sentence(v) for v in per_token], [len(v) for v in per_token])


def column_scores(columns: Columns, signal: Literal["certainty", "entropy"]) -> Scores:
    """As ``episode_scores``, from a table's stored means: no token is loaded. The average log-probability
    is not among them."""
    if signal not in ("certainty", "entropy"):
        raise SharpenError(f"signal {signal!r} needs the tokens: use episode_scores")
    means = columns.certainty if signal == "certainty" else -columns.entropy
    _refuse_untold(means[columns.lengths > 0], signal)
    return rankable(means, columns.lengths)


def _stored(signal: str) -> tuple[str, float]:
    if signal not in _STORED:
        raise unknown("signal", signal, _STORED)
    return _STORED[signal]


def _refuse_untold(values: NDArray[np.floating], signal: str) -> None:
    if values.size and np.isnan(values).all():
        raise SharpenError(f"the engine told no {signal} of any token: that needs the whole vocabulary")


def token_signal(
    logits: ArrayLike, measure: Measure, *, vocabulary: int, reference: ArrayLike | None = None
) -> Array:
    """One number a position from its whole next-token distribution p, float64 ``(T,)``; larger is surer.

    - ``certainty``: ``KL(uniform || p) = logsumexp(z) - mean(z) - log V`` (at least 0, 0 where uniform);
    - ``entropy``: ``sum p log p``, negative entropy in nats;
    - ``gini``: ``sum p^2``;
    - ``perplexity``: ``-exp(entropy)``, the negative distributional perplexity;
    - ``kl``: ``KL(reference || p)``, another distribution in the place of the uniform one.

    Args:
        logits: ``(T, V)``, or log-probabilities; any precision, computed in float64.
        vocabulary: V, the width of the model's logits, rows of padding included.
        reference: for ``kl``, probabilities ``(V,)``; see ``empirical``.

    Raises:
        SharpenError: the width is not V (a top-k list), an entry is ``-inf`` (a law has cut it), or the
            reference is no distribution. NaN logits give a NaN.
    """
    z = _whole(logits, vocabulary)
    if measure not in _MEASURES:
        raise unknown("signal", measure, _MEASURES)
    if (measure == "kl") != (reference is not None):
        raise SharpenError("signal 'kl', and no other, needs a reference distribution")
    q = None if reference is None else _distribution(reference, vocabulary)
    values = np.empty(len(z))
    size = max(1, _BLOCK // vocabulary)
    for at in range(0, len(z), size):
        values[at : at + size] = _of_rows(_log_softmax(z[at : at + size]), measure, q)
    return values


def token_logprobs(logits: ArrayLike, tokens: ArrayLike, *, vocabulary: int) -> Array:
    """Log-probabilities of ``tokens`` ``(T,)`` under logits ``(T, V)``, float64 ``(T,)``, nats."""
    z, ids = _whole(logits, vocabulary), np.asarray(tokens, dtype=np.int64)
    return _log_softmax(z)[np.arange(len(ids)), ids]


def response_rows(logits: NDArray, *, prompt: int, length: int, align: Align = "paper") -> NDArray:
    """The rows of a teacher-forced forward pass over prompt and response that score the response.

    Args:
        logits: ``(P + T, V)`` or longer (padding behind it is never read).
        prompt: P, at least 1. length: T.
        align: ``paper``: rows P-1 .. P+T-2, the distributions from which the response's tokens came.
            ``repo``: rows P .. P+T-1 as in the released code, which misses the first token's and takes the
            one after the last (that code also leaves out the end token: pass a length without it).
    """
    if align not in ("paper", "repo"):
        raise unknown("align", align, ("paper", "repo"))
    start = prompt - (align == "paper")
    if prompt < 1 or length < 0 or start + length > len(logits):
        raise SharpenError(f"{len(logits)} rows of logits hold no {length} tokens after a prompt of {prompt}")
    return logits[start : start + length]


def self_certainty(
    logits: NDArray, *, prompt: int, length: int, vocabulary: int, align: Align = "paper"
) -> float:
    """Self-certainty of a response, nats (arXiv 2502.18581): see ``response_rows`` and ``token_signal``."""
    rows = response_rows(logits, prompt=prompt, length=length, align=align)
    return sentence(token_signal(rows, "certainty", vocabulary=vocabulary))


def approximate_certainty(top_logprobs: ArrayLike, *, vocabulary: int) -> Array:
    """A lower bound of the certainty from the k most probable tokens alone, float64 ``(T,)``: APPROXIMATE.

    The mass that the list does not show is spread evenly over the other V - k tokens. Self-certainty is
    ruled by the least probable tokens, which is what such a list lacks; never compare it with exact scores.

    Args:
        top_logprobs: raw log-probabilities ``(T, k)`` of distinct tokens, k < V.
    """
    top = np.asarray(top_logprobs, dtype=np.float64)
    if top.ndim != 2 or not 0 < top.shape[1] < vocabulary:
        raise SharpenError(f"top log-probabilities of shape {top.shape} are not (tokens, k < {vocabulary})")
    others = vocabulary - top.shape[1]
    # float32 log-probabilities cannot tell less mass than this from none
    rest = np.maximum(1.0 - np.exp(top).sum(-1), _RESOLUTION)
    return -(top.sum(-1) + others * np.log(rest / others)) / vocabulary - math.log(vocabulary)


def empirical(tokens: ArrayLike, *, vocabulary: int) -> Array:
    """How often each id occurs in ``tokens`` (at least one), as probabilities ``(V,)``."""
    ids = np.asarray(tokens, dtype=np.int64).ravel()
    if not ids.size or ids.min() < 0 or ids.max() >= vocabulary:
        raise SharpenError(f"an empirical distribution needs token ids below {vocabulary}")
    return np.bincount(ids, minlength=vocabulary) / ids.size


def _whole(logits: ArrayLike, vocabulary: int) -> NDArray:
    z = np.asarray(logits)
    if z.ndim != 2 or z.shape[1] != vocabulary:
        raise SharpenError(
            f"logits of shape {z.shape} are not (tokens, {vocabulary}): exact needs the whole vocabulary"
        )
    if np.isneginf(z).any():
        raise SharpenError("logits hold -inf: pass the model's own, before top-k, top-p or banned tokens")
    return z


def _log_softmax(z: NDArray) -> Array:
    z = z.astype(np.float64)
    with np.errstate(invalid="ignore"):
        z -= z.max(-1, keepdims=True)
        return z - np.log(np.exp(z).sum(-1, keepdims=True))


def _of_rows(logp: Array, measure: Measure, q: Array | None) -> Array:
    if measure == "certainty":
        return -logp.mean(-1) - math.log(logp.shape[1])
    p = np.exp(logp)
    if measure == "gini":
        return (p * p).sum(-1)
    if q is not None:
        own = float((q[q > 0] * np.log(q[q > 0])).sum())
        return own - logp @ q
    negative = (p * logp).sum(-1)
    return negative if measure == "entropy" else -np.exp(-negative)


def _distribution(reference: ArrayLike, vocabulary: int) -> Array:
    q = np.asarray(reference, dtype=np.float64)
    if q.shape != (vocabulary,) or not (q >= 0).all() or abs(q.sum() - 1) > 1e-6:
        raise SharpenError(f"a reference must be {vocabulary} probabilities that add up to 1")
    return q
