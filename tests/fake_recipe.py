"""A recipe without a model: real journal, real files, no torch. ``install()`` puts it among the recipes.

It answers ``questions`` held-out questions before and after ``rounds`` rounds; its accuracy grows with the
round. ``fail_seed`` makes one seed fail; ``interrupt`` is Ctrl-C after the first round, once.
"""

import os
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from sharpen import recipes
from sharpen.cli import running
from sharpen.runs.config import Config
from sharpen.runs.journal import Journal
from sharpen.runs.streams import stream
from sharpen.score.table import VERDICT_SCHEMA
from sharpen.score.verdict import Verdict

HOSTILE = "[red]3 * 8[/red]\x1b[2J\x1b]0;owned\x07\n\u202eAnswer: 24\r"


class Settings(Config):
    """Nothing is learnt here."""

    TINY: ClassVar = {"questions": 4}

    rounds: int = Field(2, ge=1)
    """How many rounds."""
    questions: int = Field(40, ge=1)
    """Held-out questions."""
    model: str = "nano"
    """The base model."""
    fail_seed: int | None = None
    interrupt: bool = False

    def plan(self) -> dict[str, Any]:
        samples = self.rounds * self.questions
        return {"rounds": self.rounds, "samples": samples, "tokens": samples * 64, "optimizer_steps": 0}


def measure(journal: Journal, config: Settings, seed: int, r: int, progress: Any) -> None:
    ids = [f"q{i}" for i in range(config.questions)]
    draws = stream(seed, "fake").generator().random(len(ids))
    right = (draws < 0.3 + 0.2 * r).astype(float)
    with journal.scope("held_out"):
        step = journal.begin("measure", {"questions": config.questions}, name="held_out")
        if step.result is None:
            progress.begin(step.key, "measure", len(ids))
            progress.advance(len(ids), 64 * len(ids))
            step.write_unit(0, pa.table({"task_id": ids, "greedy": right, "sampled": right / 2}))
            row = {
                "name": "held_out",
                "round": r,
                "accuracy_greedy": float(np.mean(right)),
                "accuracy_greedy_low": 0.1,
                "accuracy_greedy_high": 0.9,
                "accuracy_t1": float(np.mean(right)) / 2,
            }
            step.finish({}, metrics=[row])
            progress.metrics(row)
            progress.end()


def sample(journal: Journal, progress: Any) -> None:
    step = journal.begin("sample", {})
    keys = [f"{step.key}/q{i}/0" for i in range(3)]
    if step.result is None:
        step.write_unit(
            0,
            pa.table(
                {
                    "key": keys,
                    "task_id": ["q0", "q1", "q2"],
                    "text": [HOSTILE] * 3,
                    "finish": ["eos"] * 3,
                    "n_sampled": [9] * 3,
                }
            ),
        )
        progress.rollout("Make 24 \x1b[31m", HOSTILE, Verdict(1.0))
        step.finish({"samples": 3})
    step = journal.begin("score", {})
    if step.result is None:
        rows = [
            {
                "key": k,
                "score": float(i > 0),
                "status": "ok",
                "by": "fake",
                "on": "episode",
                "detail": "\x1b[1m",
            }
            | {"correct": i > 0, "parts": [], "steps": []}
            for i, k in enumerate(keys)
        ]
        step.write_unit(0, pa.Table.from_pylist(rows, schema=VERDICT_SCHEMA))
        step.finish({"right": 2})


def execute(job: running.Job, progress: Any) -> dict[str, Any]:
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    config, environment = job.config, {"code": "fake", "numerics": {"threads": threads}}
    assert isinstance(config, Settings)
    if job.resume:
        journal = Journal.open(job.folder, environment=environment, accept_code=job.accept_code)
        journal.record_config(config.to_toml())
    else:
        header = {"recipe": job.recipe, "seed": job.seed, **environment}
        journal = Journal.create(job.folder, header, config.to_toml())
    with journal:
        measure(journal, config, job.seed, 0, progress)
        for r in range(1, config.rounds + 1):
            with journal.scope(f"round-{r:04d}"):
                sample(journal, progress)
                measure(journal, config, job.seed, r, progress)
            if config.fail_seed == job.seed:
                raise ValueError("the fake was told to fail")
            if config.interrupt and not job.resume:
                raise KeyboardInterrupt
    return {"samples": 3 * config.rounds, "tokens": 27 * config.rounds}


def install() -> None:
    """Make ``fake`` a recipe of this process."""
    module = types.ModuleType("sharpen.recipes.fake")
    module.Settings, module.fake = Settings, None  # type: ignore[attr-defined]
    sys.modules["sharpen.recipes.fake"] = module
    recipes.RECIPES["fake"] = recipes.RecipeEntry("fake", "A recipe without a model", "")
    running._execute = execute


def startup(folder: Path) -> Path:
    """A folder for PYTHONPATH in which every Python process begins with ``install()``."""
    folder.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent
    (folder / "sitecustomize.py").write_text(
        f"import sys\nsys.path.append({str(here)!r})\nimport fake_recipe\nfake_recipe.install()\n"
    )
    return folder
