"""A run on disk, made by hand: what was said, whether it is right, and the journal's real files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sharpen.runs.journal import Journal
from sharpen.sample.episode import Episode, Finish
from sharpen.score.table import episodes_to_table, verdicts_to_table
from sharpen.score.verdict import Status, Verdict
from tests.scored import episode

ENVIRONMENT = {"code": "made by hand", "numerics": {}}
Said = tuple[str, str, bool | Status | Finish]
"""Question, text, and whether it is right, why that is unknown, or how it was cut (then wrong)."""


def judged_run(
    folder: Path, steps: Mapping[str, Sequence[Said]], *, seed: int = 0, told: bool = True
) -> Path:
    """A finished run with one sampling step and one judging step a scope (``a/b``: b inside a). ``told`` is
    whether the engine gave its signals; a right answer's tokens are the surer ones."""
    header = {"recipe": "by_hand", "seed": seed, **ENVIRONMENT}
    with Journal.create(folder, header, "") as journal:
        _scopes(journal, steps, told)
    return folder


def _scopes(journal: Journal, steps: Mapping[str, Sequence[Said]], told: bool) -> None:
    inner: dict[str, dict[str, Sequence[Said]]] = {}
    for path, said in steps.items():
        head, _, rest = path.partition("/")
        inner.setdefault(head, {})[rest] = said
    for head, below in inner.items():
        with journal.scope(head):
            if "" in below:
                _step(journal, below.pop(""), told)
            _scopes(journal, below, told)


def _step(journal: Journal, said: Sequence[Said], told: bool) -> None:
    step = journal.begin("sample", {"said": len(said)})
    seen: dict[str, int] = {}
    episodes, verdicts = [], []
    for of, text, outcome in said:
        k = seen[of] = seen.get(of, -1) + 1
        finish = outcome if isinstance(outcome, Finish) else Finish.EOS
        made = episode(text, of=of, sample=k, finish=finish, length=3 + len(text) % 5)
        episodes.append(_surer(replace(made, key=f"{step.key}/{of}/{k}"), outcome is True, told))
        status = outcome if isinstance(outcome, Status) else Status.OK
        verdicts.append(Verdict(float(outcome is True), status, by="hand"))
    step.write_unit(0, episodes_to_table(episodes))
    step.finish({"samples": len(said)})
    judge = journal.begin("score", {"groups": {"step": step.key}})
    judge.write_unit(0, verdicts_to_table([e.key for e in episodes], verdicts))
    judge.finish({})


def _surer(made: Episode, right: bool, told: bool) -> Episode:
    *before, last = made.spans
    assert last.sampled is not None
    level = np.full(len(last.tokens), np.nan if not told else 2.0 if right else 1.0, dtype=np.float32)
    done = replace(last.sampled, certainty=level, entropy=-level, raw_logprobs=level - 3)
    return replace(made, spans=(*before, replace(last, sampled=done)))
