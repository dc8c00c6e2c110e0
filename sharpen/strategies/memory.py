"""What strategies remember questions by: a plain text embedding, nearness, clusters. No model is asked."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sharpen.runs.streams import stream

Array = NDArray[np.float64]
WIDTH = 512
_WORDS = re.compile(r"[^\W\d_]+|\d|[^\w\s]")


def embed(texts: Sequence[str], width: int = WIDTH) -> Array:
    """Texts as unit vectors, float64 ``(n, width)``; an empty text is the zero vector.

    Hashed counts of words, word pairs and character trigrams, dampened by a logarithm. Digits are one word
    (``#``), so questions that differ in their numbers alone are near. It knows spelling and no meaning: a
    sentence encoder would find paraphrases, at the price of a second model.
    """
    rows = np.zeros((len(texts), width))
    for row, text in zip(rows, texts, strict=True):
        for feature, count in _features(text).items():
            code = zlib.crc32(feature.encode("utf-8", "replace"))
            row[code % width] += (1 + math.log(count)) * (1 if code >> 16 & 1 else -1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def _features(text: str) -> Counter[str]:
    words = ["#" if w.isdigit() else w for w in _WORDS.findall(text.lower())]
    found: Counter[str] = Counter(words)
    found.update(f"{a} {b}" for a, b in pairwise(words))
    found.update(f"{w[i : i + 3]}_" for w in words for i in range(len(w) - 2))
    return found


def nearest(query: str, texts: Sequence[str]) -> list[tuple[float, int]]:
    """Cosine similarity and index of each text, the most similar first; equal ones in order."""
    vectors = embed([query, *texts])
    likeness = vectors[1:] @ vectors[0]
    return [(float(likeness[i]), int(i)) for i in np.argsort(-likeness, kind="stable")]


def clusters(vectors: Array, k: int, rounds: int = 50) -> list[list[int]]:
    """k-means: the rows' indices by cluster, those nearest to its centre first; clusters by first member.

    Starts from k-means++ on a fixed stream, so the same rows always give the same clusters. Fewer than
    ``k`` clusters where fewer rows differ.
    """
    n = len(vectors)
    rng = stream("clusters", n, k).generator()
    centres = vectors[[int(rng.integers(n))]] if n else vectors[:0]
    while len(centres) < min(k, n):
        far = _distances(vectors, centres).min(axis=1)
        if far.sum() <= 1e-12:
            break
        centres = np.vstack([centres, vectors[int(rng.choice(n, p=far / far.sum()))]])
    of = np.zeros(n, np.int64)
    for _ in range(rounds if n else 0):
        before, of = of, _distances(vectors, centres).argmin(axis=1)
        held = [vectors[of == c].mean(axis=0) if (of == c).any() else centres[c] for c in range(len(centres))]
        centres = np.array(held)
        if (before == of).all():
            break
    away = _distances(vectors, centres) if n else np.zeros((0, 0))
    groups = [[int(i) for i in np.flatnonzero(of == c)] for c in range(len(centres))]
    found = [sorted(g, key=lambda i, c=c: (away[i, c], i)) for c, g in enumerate(groups) if g]
    return sorted(found, key=min)


def _distances(rows: Array, centres: Array) -> Array:
    """Squared distances ``(rows, centres)``."""
    apart = (rows**2).sum(1)[:, None] + (centres**2).sum(1)[None] - 2 * rows @ centres.T
    return np.maximum(apart, 0.0)
