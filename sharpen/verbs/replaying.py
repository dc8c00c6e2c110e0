"""Sampling a stored episode again: from the stored policy, law and stream, compared bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sharpen.errors import SharpenError, unknown
from sharpen.runs.manifest import Manifest, first_difference, read_manifest
from sharpen.runs.step import CHECKPOINTS, slug_of, verb_of
from sharpen.runs.store import unit_files
from sharpen.runs.streams import Stream, stream
from sharpen.sample.engine import Engine
from sharpen.sample.episode import Completion, Episode, Request, Span
from sharpen.sample.exact import environment
from sharpen.sample.law import SamplingLaw
from sharpen.sample.native import NativeEngine
from sharpen.sample.policy import Policy, load_policy
from sharpen.score.table import EPISODE_SCHEMA, table_to_episodes

ARRAYS = ("tokens", "logprobs", "raw_logprobs", "entropy", "certainty")
_HOW = {"sample", "play", "solve"}


@dataclass(frozen=True, slots=True)
class How:
    """What a sampled span was asked with: its stream, and what is the same for all policies."""

    stream: Stream
    law: SamplingLaw
    max_new_tokens: int
    stop: tuple[str, ...]


def replay(folder: Path, key: str, engine: Engine | None = None) -> dict[str, Any]:
    """Sample the episode ``key`` of a run again, span by span, each after the tokens stored before it.

    Returns ``key``, ``step``, ``policies`` (versions), ``tokens`` (how many were sampled again), ``equal``
    (tokens, log-probabilities under the law and raw, entropy, self-certainty and ending: every bit),
    ``difference`` (the first, ``""`` where there is none) and ``note`` (where this machine or library is not
    the one that the run was made with).

    Raises:
        SharpenError: no such episode, nothing in it was sampled, another engine sampled it, or the policy's
            checkpoint was given up.
    """
    manifest = read_manifest(folder)
    step = step_of(manifest, key)
    line = manifest.steps[step]
    inputs = line["inputs"]
    named = inputs.get("engine")
    if named != NativeEngine.__name__:
        raise SharpenError(
            f"replay: {step} was sampled by {named}: only the native engine gives its bytes again"
        )
    episode, request = find_episode(manifest, step, key)
    if not episode.n_sampled:
        raise SharpenError(f"replay: nothing in {key!r} was sampled (an answer put together from calls)")
    policies: dict[str, Policy] = {}
    engine, seen, difference, n = engine or NativeEngine(), 0, "", 0
    for before, span in sampled_spans(episode):
        if span.version not in policies:
            policies[span.version] = find_policy(manifest, span.version)
        policy, how = policies[span.version], how_asked(line, episode, span, request)
        asked = Request(before, how.stream, how.law, how.max_new_tokens, policy.eos_ids, how.stop)
        again = engine.generate(policy, [asked])[0]
        assert span.sampled is not None
        seen, n = seen + 1, n + len(again.tokens)
        if found := differ(span.sampled, again):
            difference = found if len(episode.sequences) == 1 else f"turn {seen}: {found}"
            break
    return {
        "key": key,
        "step": step,
        "policies": sorted(policies),
        "tokens": n,
        "equal": not difference,
        "difference": difference,
        "note": _note(manifest.header.get("numerics") or {}),
    }


def step_of(manifest: Manifest, key: str) -> str:
    """The step that an episode's key names. SharpenError where there is none, or it samples nothing."""
    steps = [k for k in manifest.steps if key.startswith(f"{k}/")]
    sampling = [k for k in manifest.steps if verb_of(k) in _HOW]
    if not steps:
        raise unknown("step of an episode", key, sampling)
    if verb_of(steps[-1]) not in _HOW:
        raise SharpenError(f"replay: {steps[-1]} samples nothing: an episode's key is wanted")
    return steps[-1]


def find_episode(manifest: Manifest, step: str, key: str) -> tuple[Episode, str]:
    """The stored episode of this key, and the name of its request where a strategy made it."""
    for path in unit_files(manifest.folder).get(step, []):
        names = pq.read_schema(path).names
        if "task_id" not in names or "key" not in names:
            continue
        at = pc.index(pq.read_table(path, columns=["key"])["key"], key).as_py()  # type: ignore[attr-defined]
        if at >= 0:
            row = pq.read_table(path).slice(at, 1)
            held = [c for c in EPISODE_SCHEMA.names if c in names]
            request = row["request"][0].as_py() if "request" in names else ""
            return table_to_episodes(row.select(held))[0], request
    raise SharpenError(
        f"no episode {key!r} in step {step}; `sharpen show {manifest.folder} {step}` shows some"
    )


def sampled_spans(episode: Episode) -> Iterator[tuple[np.ndarray, Span]]:
    """Every sampled span, with the ids that the engine continued."""
    for sequence in episode.sequences:
        for i, span in enumerate(sequence):
            if span.sampled is not None:
                yield np.concatenate([s.tokens for s in sequence[:i]]), span


def how_asked(line: Mapping[str, Any], episode: Episode, span: Span, request: str) -> How:
    """What a span of a step was asked with, from the step's manifest line."""
    inputs, seed, verb = line["inputs"], line["inputs"]["seed"], verb_of(line["step"])
    own = stream(seed, *line["step"].split("/")[:-1], line["name"])
    if verb == "play":
        play = int(episode.key.split("/")[-2])
        player = _player(inputs, span)
        names = own.child(episode.task_id, play, int(span.seat), span.turn)
        return How(names, _law(player), int(player["max_new_tokens"]), tuple(player["stop"]))
    asking = inputs["asking"]
    if verb == "solve":
        return _called(line, episode, request, seed)
    names = stream(*inputs["streams"]) if "streams" in inputs else own
    return How(
        names.child(episode.task_id, episode.sample, "", 0),
        _law(inputs),
        int(asking["max_new_tokens"]),
        tuple(asking["stop"]),
    )


def _player(inputs: Mapping[str, Any], span: Span) -> Mapping[str, Any]:
    found = [
        player
        for table in inputs["tables"]
        for seat, player in enumerate(table)
        if player.get("policy") == span.version and str(seat) == span.seat
    ]
    if not found or any(p != found[0] for p in found):
        raise SharpenError("replay: the step does not say which player sampled this turn")
    return found[0]


def _called(line: Mapping[str, Any], episode: Episode, request: str, seed: int) -> How:
    """A strategy's call. What it may have set for itself (a temperature, a length, stops) is not in the
    step's inputs; where the request's name does not follow from them, it did."""
    from sharpen.verbs.desk import request_digest

    inputs, asking = line["inputs"], line["inputs"]["asking"]
    _, digest, k = request.rsplit("/", 2)
    longest, stop = int(asking["max_new_tokens"]), tuple(asking["stop"])
    before = next(tokens for tokens, _ in sampled_spans(episode))
    laws = [inputs["law"], *({**inputs["law"], "temperature": t} for t in (0.0, *_temperatures(inputs)))]
    for law in map(_law, ({"law": law} for law in laws)):
        if request_digest(before.tolist(), law, longest, stop) == digest:
            return How(stream(seed, "ask").child(episode.task_id, digest, int(k)), law, longest, stop)
    raise SharpenError(
        f"replay: {episode.key!r} is a strategy's call whose law or length the step does not tell; attempts "
        "of steps that sample and play can be replayed"
    )


def _temperatures(inputs: Mapping[str, Any]) -> list[float]:
    settings = inputs.get("strategy")
    values = settings.values() if isinstance(settings, Mapping) else ()
    flat = [v for one in values for v in (one.values() if isinstance(one, Mapping) else [one])]
    return [1.0, *(float(v) for v in flat if isinstance(v, int | float) and 0 < v <= 2)]


def _law(spec: Mapping[str, Any]) -> SamplingLaw:
    told = dict(spec["law"])
    for name in ("allowed", "banned"):
        if told.get(name) is not None:
            told[name] = tuple(told[name])
    return SamplingLaw(**told)


def find_policy(manifest: Manifest, version: str) -> Policy:
    """The policy of this version, from the run's checkpoints.

    Raises SharpenError where no step of the run made it, or its checkpoint was given up.
    """
    for key, line in manifest.steps.items():
        if (line["result"] or {}).get("version") != version or not line["checkpoints"]:
            continue
        for saved in reversed(line["checkpoints"]):
            place = manifest.folder / CHECKPOINTS / slug_of(key) / saved["tag"]
            inside = place / "policy"
            if place.is_dir():
                return load_policy(inside if inside.is_dir() else place, version)
        raise SharpenError(
            f'replay: the checkpoint of {key} (policy {version[:8]}) was given up; `keep = "all"` keeps all'
        )
    raise SharpenError(f"replay: policy {version[:8]} is not among the run's checkpoints")


def differ(stored: Completion, again: Completion) -> str:
    """The first way in which two completions are not bit-equal, ``""`` where they are."""
    if stored.finish != again.finish:
        return f"it ended by {again.finish}, stored is {stored.finish}"
    if len(stored.tokens) != len(again.tokens):
        return f"{len(again.tokens)} tokens, stored are {len(stored.tokens)}"
    for name in ARRAYS:
        a, b = np.asarray(getattr(stored, name)), np.asarray(getattr(again, name))
        if a.tobytes() != b.astype(a.dtype).tobytes():
            at = int(np.flatnonzero(a.view(np.int32) != b.astype(a.dtype).view(np.int32))[0])
            return f"{name.replace('_', ' ')} of token {at}: {b[at]!s}, stored is {a[at]!s}"
    return ""


def _note(numerics: Mapping[str, Any]) -> str:
    found = first_difference(dict(numerics), environment())
    if numerics and found:
        field, old, new = found
        return f"made with {field} {old}, this is {new}: bits may differ"
    return ""
