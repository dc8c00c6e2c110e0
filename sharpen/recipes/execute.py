"""Run a recipe in a folder: header, journal, the recipe's function, a summary of what it cost."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import replace
from pathlib import Path
from typing import Any

import sharpen
from sharpen.errors import SharpenError
from sharpen.recipes import recipe as entry_of
from sharpen.recipes.settings import Answering, Training
from sharpen.runs import own
from sharpen.runs.config import Config
from sharpen.runs.journal import Journal
from sharpen.runs.manifest import read_manifest
from sharpen.runs.tape import TAPE, Tape
from sharpen.sample.engine import Engine
from sharpen.sample.engines import engine_versions, make_engine
from sharpen.sample.exact import environment as numerics
from sharpen.tasks.splits import assert_disjoint
from sharpen.verbs.cost import cost
from sharpen.verbs.progress import Progress
from sharpen.verbs.run import Made, Run
from sharpen.verbs.scoring import named

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pyarrow", "peft")


def code_digest() -> str:
    """A hash of the package's Python sources: another one may give other results."""
    root = Path(sharpen.__file__).parent
    h = hashlib.blake2b(digest_size=8)
    for path in sorted(root.rglob("*.py")):
        h.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return h.hexdigest()


def versions() -> dict[str, str]:
    """Installed versions of the libraries that results rest on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def execute(
    recipe: str,
    config: Config,
    folder: Path | str,
    seed: int = 0,
    *,
    resume: bool = False,
    accept_code: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run (or resume) ``recipe`` (a name, or ``FILE.py:FUNCTION``) with ``config`` in ``folder``.

    Returns:
        What it cost and where it ended: ``samples``, ``calls`` of strategies, ``tokens``, ``updates``,
        ``rows_learnt``.

    Raises:
        SharpenError: bad settings, an existing run, changed inputs or code on resume.
    """
    entry = entry_of(recipe)
    function, _ = entry.load()
    place = numerics()
    environment: dict[str, Any] = {"code": code_digest(), "versions": versions(), "numerics": place}
    environment |= {"own_code": mine} if (mine := own.digests()) else {}
    made = Made() if resume else (entry.check or check)(config)
    if engine is None and isinstance(config, Answering):
        tape, say = Tape(Path(folder) / TAPE), progress.say if progress else None
        engine = make_engine(config.engine, vllm=config.vllm, api=config.api, tape=tape, say=say)
        environment["versions"] |= engine_versions(config.engine)
    text = config.to_toml()
    if resume:
        own.all_named(read_manifest(folder).header.get("own_code", {}))
        journal = Journal.open(folder, environment=environment, accept_code=accept_code)
    else:
        header = {"recipe": entry.name, "seed": seed, **environment}
        journal = Journal.create(folder, header, text)
    with journal:
        if resume:
            journal.record_config(text)
        # not every recipe has these
        options = {name: value for name, value in config if name in ("stop_on_warning", "keep")}
        run = Run(journal, seed=seed, engine=engine, progress=progress, made=made, **options)
        threads = place["threads"]
        run.progress.say(f"{entry.name}, seed {seed}, {threads} thread{'s' * (threads != 1)}: {folder}")
        for note in journal.notes:
            run.progress.say(note)
        if not place["exact"]:
            run.progress.warn("exact mode is off: results repeat only statistically on this machine")
        function(run, config)
        return cost(read_manifest(folder).steps.values())


def check(config: Config) -> Made:
    """What can be wrong is found before anything is written: the model, the questions, their splits, the
    reward. Returns what was loaded for it, so that the run need not load it again."""
    if not isinstance(config, Training):
        return Made()
    from sharpen.sample.policy import load_policy
    from sharpen.tasks.registry import make

    policy = load_policy(config.model)
    source = make(config.tasks)
    reward = getattr(config, "reward_with_process", config.reward)
    # a trained step scorer comes into being only in the run
    named(replace(reward, process="none") if reward.process == "head" else reward, source, seed=0)
    train = source.take("train", max(config.questions.pool, config.questions.per_round))
    held_out = source.take(config.held_out_split, config.held_out)
    assert_disjoint(train, held_out, source.canonical)
    if config.queries > config.pool and config.questions.per_round > config.questions.pool:
        raise SharpenError(f"queries={config.queries} is more than pool={config.pool}: raise pool")
    return Made({config.model: policy}, {config.tasks: source})
