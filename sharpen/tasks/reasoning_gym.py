"""Any dataset of the reasoning-gym library by name (needs the extra ``tasks``)."""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
import json
import math
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from sharpen.errors import SharpenError, missing, unknown
from sharpen.runs.streams import stream
from sharpen.tasks.answer import answer_of, foreign_digits
from sharpen.tasks.splits import Split, canonical_text, check_split, prompt_text, split_of
from sharpen.tasks.task import Checked, Task, TooFew

# Each chunk is one dataset object with its own seed. The library seeds item i with seed + i, so
# neighbouring seeds would share items; and some datasets draw a table of ``size`` rows when made.
_CHUNK = 512
# a split with fewer items than asked for shows itself as a long run without a new one
_PATIENCE = 2000
# and a dataset that gives nothing at all in this many draws is broken
_TRIES = 50

# Found by making them under two values of PYTHONHASHSEED: they walk through sets. Their items are made in a
# process whose hashes are those of seed 0, so many at a time.
_HASH_ORDERED = ("isomorphic_strings", "ransom_note", "word_ladder")
_BLOCK = 64

_AMONG = "its scorer accepts the gold answer inside other text, or among many answers"
QUARANTINE: dict[str, str] = {
    "complex_arithmetic": "its scorer accepts nan",
    "game_of_life_halting": "its scorer accepts almost any text",
    **dict.fromkeys(
        ("gsm_symbolic", "kakurasu", "knights_knaves", "quantum_lock", "sokoban", "survo"), _AMONG
    ),
}
"""Datasets whose scorer cannot be trusted, and why; ``quarantined=true`` takes one all the same."""

_EXAMPLES = ("example_answer", "possible_answer", "example_correct_answer")

# These scorers call eval() on the answer, for partial credit only. Full credit is a plain comparison.
_EVALUATES = ("binary_matrix", "n_queens", "spiral_matrix", "string_insertion")

# atomic groups: a long number can be cut into pieces in exponentially many ways, and only one is tried
_ARITHMETIC = re.compile(r"(?>\d{1,9}|[-+*/() ](?!(?<=[*/])[*/]))+", re.ASCII)
_ALGEBRA = re.compile(
    r"(?>(?<![\w.])(?:a?sinh?|a?cosh?|a?tanh?|exp|log|ln|sqrt|pi|[A-Za-z])(?!\w)"
    r"|\d{1,12}(?:\.\d{0,12})?|\*\*(?=\s*\(?-?\d{1,3}\b(?!\s*\*\*))|\*(?!\*)|[-+/() ])+",
    re.ASCII,
)
# These scorers hand the answer to sympy's parser, which evaluates Python. Only text of this shape gets there.
_PARSES = {
    "countdown": _ARITHMETIC,
    "puzzle24": _ARITHMETIC,
    "simple_integration": _ALGEBRA,
    "intermediate_integration": _ALGEBRA,
    "polynomial_multiplication": _ALGEBRA,
}


# (9**99)**99 nests without bound; powers of numbers and brackets may multiply to this exponent
_MAX_POWER = 1000
_POWER = re.compile(r"[\d)]\s*\*\*\s*\(?\s*-?(\d+)", re.ASCII)


def plain_expression(answer: str, shape: re.Pattern[str]) -> bool:
    """Whether text is a short arithmetic expression of that shape: no names that reach Python, no towers of
    powers."""
    return (
        len(answer) <= 500
        and shape.fullmatch(answer) is not None
        and math.prod(int(p) for p in _POWER.findall(answer)) <= _MAX_POWER
    )


def dataset_names() -> list[str]:
    """Names of all datasets of the installed reasoning-gym, sorted. SharpenError where it is missing."""
    return sorted(_library())


def _library() -> dict[str, tuple[Any, Any]]:
    try:
        with _fenced(0):  # what it imports draws numbers
            import reasoning_gym  # noqa: F401  registers its datasets
            from reasoning_gym.factory import DATASETS
    except ImportError as e:
        raise missing("a reasoning_gym task", "reasoning-gym", "tasks") from e
    # a mixture of other datasets, configured by objects rather than by numbers
    return {name: pair for name, pair in DATASETS.items() if name != "composite"}


class ReasoningGym:
    """One reasoning-gym dataset as a ``TaskSource``.

    Items are drawn in one order, fixed by (name, params, seed); each goes to the split of its question's
    canonical form, so item i of a split is pure in (name, params, seed, split, i). Draws that repeat a
    question, fail in the generator, or whose gold answer its own scorer refuses are passed over and
    counted in ``passed_over``.

    Args:
        name: a dataset of the library, e.g. ``leg_counting``.
        seed: any integer; different seeds give unrelated items.
        quarantined: take it although it is in ``QUARANTINE``.
        params: fields of the dataset's configuration (not ``size``).

    Raises:
        SharpenError: unknown dataset or parameter (naming the nearest), values that the dataset refuses,
            or a split with too few items.
    """

    def __init__(self, name: str, *, seed: int = 0, quarantined: bool = False, **params: Any) -> None:
        library = _library()
        if name not in library:
            raise unknown("reasoning_gym dataset", name, library)
        self._dataset_cls, self._config_cls = library[name]
        if name == "codeio":
            raise SharpenError(
                "reasoning_gym:codeio runs programs of its data set in this process, and they write files"
            )
        if name in QUARANTINE and not quarantined:
            raise SharpenError(
                f"reasoning_gym:{name} is in quarantine: {QUARANTINE[name]} (quarantined=true takes it)"
            )
        known = [f.name for f in dataclasses.fields(self._config_cls) if f.name not in ("size", "seed")]
        for key in params:
            if key not in known:
                raise unknown(f"parameter of reasoning_gym:{name}", key, [*known, "seed"])
        self.dataset = name
        self.name = f"reasoning_gym:{name}"
        self.seed = seed
        self.params = params
        self._chunks: dict[int, Any] = {}
        self._entries: dict[int, dict[str, Any]] = {}
        self._apart: dict[int, list[dict[str, Any] | None]] = {}
        self._here = False
        self._items: dict[Split, list[Task]] = {"base": [], "train": [], "dev": [], "test": []}
        self._seen: set[str] = set()
        self._drawn = 0
        self.passed_over: Counter[str] = Counter()
        self._chunk(0)

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity: dataset, seed, parameters and the library's version."""
        version = importlib.metadata.version("reasoning-gym")
        return {"source": self.name, "seed": self.seed, "version": version, **self.params}

    def take(self, split: str, n: int, *, start: int = 0) -> list[Task]:
        """Items ``start .. start+n-1`` of a split; see ``TaskSource.take``."""
        items = self._items[check_split(split)]
        dry = 0
        while len(items) < start + n:
            before = len(items)
            self._draw()
            dry = dry + 1 if len(items) == before else 0
            if dry > _PATIENCE or (self._drawn >= _TRIES and not self._seen):
                why = ", ".join(f"{count} {reason}" for reason, count in self.passed_over.items())
                why = f" ({self._drawn} drawn{', ' + why if why else ''})"
                raise TooFew(self.name, split, len(items), start + n, why)
        return items[start : start + n]

    def verify(self, task: Task, completion: str) -> Checked:
        """Right when the library's scorer gives full marks to the answer in the completion.

        An exception of the scorer is the answer's doing (``unparsable``): the gold answer passes.
        """
        answer = answer_of(completion)
        if answer is None or foreign_digits(answer, task.answer):
            return Checked(False, "unparsable", "no answer")
        index = task.data["index"]
        entry = self._entries.get(index) or self._entry(index)
        try:
            score = self._score(answer, entry, self._chunk(index // _CHUNK))
        except Exception as e:
            return Checked(False, "unparsable", f"{type(e).__name__}: {e}"[:200])
        return Checked(score == 1.0, detail=f"score {score:g}")

    def has_answer(self, completion: str) -> bool:
        """Whether ``answer_of`` finds one."""
        return answer_of(completion) is not None

    def canonical(self, task: Task) -> str:
        """The question as canonical text."""
        return canonical_text(prompt_text(task.prompt))

    def canonical_answer(self, task: Task, completion: str) -> str | None:
        """The answer with white space collapsed."""
        answer = answer_of(completion)
        return None if answer is None else " ".join(answer.split())

    def _score(self, answer: str, entry: dict[str, Any], dataset: Any) -> float:
        gold: str = entry["answer"]
        if answer.split("\n") == gold.strip().split("\n"):
            # the gold answer is right also where the scorer trips over white space at its ends
            answer = gold
        if self.dataset in _EVALUATES:
            accepted = entry["metadata"].get("valid_answers") or [gold]
            return float(answer in {text.strip() for text in accepted} or answer == gold)
        shape = _PARSES.get(self.dataset)
        if shape is not None and not plain_expression(answer, shape):
            raise ValueError("not a plain expression")
        return float(dataset.score_answer(answer, copy.deepcopy(entry)))  # some scorers change their entry

    def _draw(self) -> None:
        index = self._drawn
        self._drawn += 1
        try:
            entry = self._entry(index)
            question, answer = str(entry["question"]), entry["answer"]
        except SharpenError:
            raise
        except Exception:  # some generators give up on some seeds
            self.passed_over["failed in the generator"] += 1
            return
        if (form := canonical_text(question)) in self._seen:
            self.passed_over["repeated"] += 1
            return
        self._entries[index] = entry
        items = self._items[split := split_of(form)]
        task = Task(f"{self.dataset}-{split}-{len(items)}", question, answer, {"index": index})
        if not self.verify(task, answer).correct:
            del self._entries[index]
            self.passed_over["with a gold answer that its scorer refuses"] += 1
            return
        self._seen.add(form)
        items.append(task)

    def _entry(self, index: int) -> dict[str, Any]:
        number, place = divmod(index, _CHUNK)
        if self.dataset in _HASH_ORDERED and not self._here:
            block, within = divmod(index, _BLOCK)
            if block not in self._apart:
                self._apart[block] = _made_apart(self.dataset, self.seed, self.params, block)
            entry = self._apart[block][within]
            if entry is None:
                raise ValueError("failed in the generator")
        else:
            dataset = self._chunk(number)
            dataset.size = _CHUNK  # word_ladder shrinks itself when one item fails
            with _fenced(stream("reasoning_gym", self.dataset, self.seed, number, place).seed()):
                entry = dataset[place]
        return {**entry, "answer": _gold(entry)}

    def _chunk(self, number: int) -> Any:
        if number not in self._chunks:
            # 31 bits: the library adds an index, and numpy takes at most 32
            seed = stream("reasoning_gym", self.dataset, self.seed, number).seed() % 2**31
            try:
                config = self._config_cls(**self.params, seed=seed, size=_CHUNK)
                with _fenced(seed):
                    self._chunks[number] = self._dataset_cls(config)
            except (AssertionError, ValueError, TypeError) as e:
                raise SharpenError(f"{self.name}: {e or 'parameters out of range'}") from e
        return self._chunks[number]


def _gold(entry: dict[str, Any]) -> str:
    # where many answers are right some datasets keep an example of one apart, and some have none
    found = [entry["answer"], *(entry["metadata"].get(key) for key in _EXAMPLES)]
    first = next((answer for answer in found if answer is not None), "")
    return json.dumps(first) if isinstance(first, dict) else str(first)


@contextmanager
def _fenced(seed: int) -> Iterator[None]:
    """Some datasets draw from the process-global generators. Inside, these are seeded; afterwards they are
    as they were."""
    state, np_state = random.getstate(), np.random.get_state()
    random.setstate(random.Random(seed).getstate())
    np.random.set_state(np.random.RandomState(seed % 2**32).get_state())
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(np_state)


def _made_apart(name: str, seed: int, params: dict[str, Any], block: int) -> list[dict[str, Any] | None]:
    """A block of entries, made in a process with fixed string hashes; None where the generator failed."""
    asked = json.dumps({"name": name, "seed": seed, "params": params, "block": block})
    done = subprocess.run(
        [sys.executable, "-m", "sharpen.tasks.reasoning_gym"],
        input=asked,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=False,
    )
    if done.returncode:
        raise SharpenError(f"reasoning_gym:{name}: its items could not be made: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def _make_block(name: str, seed: int, params: dict[str, Any], block: int) -> list[dict[str, Any] | None]:
    source = ReasoningGym(name, seed=seed, quarantined=True, **params)
    source._here = True
    entries: list[dict[str, Any] | None] = []
    for index in range(block * _BLOCK, (block + 1) * _BLOCK):
        try:
            entries.append(source._entry(index))
        except Exception:  # some generators give up on some seeds
            entries.append(None)
    return entries


if __name__ == "__main__":
    print(json.dumps(_make_block(**json.load(sys.stdin))))
