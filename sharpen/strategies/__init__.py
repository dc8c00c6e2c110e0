"""Strategies at inference time: short control flows over one ``ask``. This table imports nothing heavy."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sharpen.errors import SharpenError, unknown
from sharpen.tasks.registry import parameters

if TYPE_CHECKING:
    from sharpen.strategies.ask import Flow


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    """Where a strategy lives, and what kind of thing it is.

    Attributes:
        name: its module holds an ``async`` function of this name.
        module: in this package; it also holds the settings, a frozen dataclass named like the function in
            capitals (``self_consistency``: ``SelfConsistency``).
        title: one line.
        kind: its place in the taxonomy of arXiv 2407.11511: generation G1-G4, evaluation E0-E3, control
            C1-C3.
        calls: how many calls it makes, as a formula over its settings.
        source: arXiv id or DOI, or ``""``.
        needs: what it cannot do without: prompt roles of ``words``, and ``verifier``, ``search``, ``code``,
            ``tests``, ``environment``, ``memory``, ``helper`` (a second policy).
    """

    name: str
    module: str
    title: str
    kind: str
    calls: str
    source: str = ""
    needs: tuple[str, ...] = ()

    def load(self) -> tuple[Flow, type]:
        """The control flow and its settings' class."""
        module = importlib.import_module(f"sharpen.strategies.{self.module}")
        return getattr(module, self.name), getattr(module, camel(self.name))

    @property
    def oracle(self) -> bool:
        """Whether it sees the verifier: a ceiling, and no rival of strategies that do not."""
        return "verifier" in self.needs


@dataclass(frozen=True)
class Strategy:
    """A strategy with its settings."""

    entry: StrategyEntry
    settings: Any

    @property
    def name(self) -> str:
        """As it is written on the command line: only what differs from the defaults."""
        defaults = type(self.settings)()
        told = [
            f"{f.name}={_text(value)}"
            for f in fields(self.settings)
            if (value := getattr(self.settings, f.name)) != getattr(defaults, f.name)
        ]
        return self.entry.name + (":" + ",".join(told) if told else "")

    @property
    def spec(self) -> dict[str, Any]:
        """JSON identity."""
        return {
            "strategy": self.entry.name,
            **{f.name: getattr(self.settings, f.name) for f in fields(self.settings)},
        }

    @property
    def flow(self) -> Flow:
        """The control flow."""
        return self.entry.load()[0]


def camel(name: str) -> str:
    """``self_consistency`` as ``SelfConsistency``."""
    return "".join(part.capitalize() for part in name.split("_"))


def strategy(text: str) -> Strategy:
    """The strategy that ``NAME`` or ``NAME:key=value,key=value`` describes.

    Raises SharpenError for an unknown name or key, with the nearest one, and for a value of another type.
    """
    name, _, told = text.partition(":")
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    entry = STRATEGIES[name]
    cls = entry.load()[1]
    return Strategy(entry, _settings(name, cls, parameters(text, told)))


def _settings(name: str, cls: type, told: Mapping[str, Any]) -> Any:
    known = {f.name: f.default for f in fields(cls)}
    given = {}
    for key, value in told.items():
        if key not in known:
            raise unknown(f"setting of {name}", key, known)
        if isinstance(known[key], float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(known[key]):
            raise SharpenError(f"{name}: {key}={value!r} should be of type {type(known[key]).__name__}")
        given[key] = value
    return cls(**given)


def _text(value: Any) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _table(entries: Sequence[StrategyEntry]) -> dict[str, StrategyEntry]:
    return {entry.name: entry for entry in entries}


E_ = StrategyEntry
STRATEGIES: dict[str, StrategyEntry] = _table(
    [
        E_("greedy", "selection", "the question itself, greedily", "G1 E0 C1", "1"),
        E_("sample", "selection", "the question itself, one sample", "G1 E0 C1", "1"),
        E_("first", "selection", "the first of N samples that gives an answer", "G1 E0 C2", "samples"),
        E_("best_of_n", "selection", "the sample with the best signal", "G1 E1 C2", "samples", "2502.18581"),
        E_("borda", "selection", "votes weighted by rank", "G1 E1 C2", "samples", "2502.18581"),
        E_("weighted", "selection", "votes weighted by score", "G1 E1 C2", "samples", "2502.18581"),
        E_("self_consistency", "selection", "majority of N samples", "G1 E1 C2", "samples", "2203.11171"),
        E_("universal", "selection", "the sample that the model names as the most consistent", "G1 E1 C2",
           "samples + 1", "2311.17311"),
        E_("verified", "selection", "the first sample that the verifier accepts (oracle)", "G1 E2 C2",
           "samples", "", ("verifier",)),
        E_("direct", "onepass", "the answer at once, without working", "G1 E0 C1", "1", "", ("direct",)),
        E_("few_shot", "onepass", "examples with answers before the question", "G1 E0 C1", "1", "2005.14165",
           ("shots", "demos")),
        E_("scratchpad", "onepass", "what follows the end mark of scratch work", "G4 E0 C1", "1",
           "2112.00114"),
        E_("chain_of_thought", "onepass", "worked examples before the question", "G1 E0 C1", "1",
           "2201.11903", ("shots", "demos")),
        E_("zero_shot_cot", "onepass", "a rationale, then the answer it arrives at", "G1 E0 C1", "2",
           "2205.11916", ("think", "answer")),
        E_("auto_cot", "onepass", "the model's own rationales as examples, one a cluster", "G3 E0 C1",
           "1 (and 2 for each question of the pool, once)", "2210.03493", ("shots", "pool")),
        E_("complexity", "onepass", "hard examples, and the samples with most steps vote", "G1 E1 C2",
           "samples", "2210.00720", ("shots", "demos")),
        E_("self_ask", "decompose", "follow-up questions, by search or by the model", "G2 E3 C1",
           "1 + hops (without search 1 + 2 hops)", "2210.03350", ("followup", "subquestion")),
        E_("least_to_most", "decompose", "sub-questions in order, the question last", "G3 E0 C3",
           "1 + sub-questions", "2205.10625", ("decompose", "subquestion")),
        E_("plan_then_solve", "decompose", "a plan, then its execution", "G3 E0 C1", "1 (apart: 2)",
           "2305.04091", ("planned",)),
        E_("self_verification", "checks", "the answer from which the question's numbers are found again",
           "G1 E1 C2", "samples + answers * (1 + numbers * checks)", "2212.09561",
           ("statement", "mask", "verify")),
        E_("math_prompter", "checks", "an expression and a program that agree on random values", "G1 E2 C2",
           "2 rounds", "2303.05398", ("expression", "function", "code")),
        E_("progressive_hint", "checks", "earlier answers as hints, until two in a row agree", "G3 E1 C3",
           "the base's + samples * (1 .. most - 1)", "2304.09797", ("hint",)),
        E_("self_refine", "checks", "feedback by the model itself, and revision", "G1 E1 C3",
           "2 .. 1 + 2 rounds", "2303.17651", ("critique", "revise")),
        E_("self_feedback", "feedback", "feedback with a verdict and refinement, in one dialogue", "G4 E1 C3",
           "samples * (2 .. 1 + 2 rounds)", "2310.00533", ("assess", "refine")),
        E_("self_debug", "programs", "a program, revised with what its tests told", "G1 E2 C3",
           "1 + turns (with explain 1 + 2 turns)", "2304.05128", ("program", "debug", "code")),
        E_("pass_at_k", "programs", "the likeliest program that passes the public tests", "G1 E2 C2",
           "samples", "2107.03374", ("code", "tests")),
        E_("program_of_thoughts", "programs", "a program that assigns the answer", "G1 E2 C1",
           "1 .. tries (with finish one more)", "2211.12588", ("program", "code")),
        E_("pal", "programs", "functions with their reasoning as comments vote", "G1 E2 C2", "samples",
           "2211.10435", ("function", "code")),
        E_("funsearch", "evolution", "islands of programs, improved two at a time", "G3 E2 C3", "calls",
           "10.1038/s41586-023-06924-6", ("improve", "code")),
        E_("llamea", "evolution", "one program, changed and kept where better", "G3 E2 C3", "generations",
           "2405.20132", ("improve", "code")),
        E_("tree_of_thoughts", "search", "a tree of partial solutions that the model values itself",
           "G1 E1 C3", "levels of states * (1 + thoughts * votes); sampled: states * thoughts * (1 + votes)",
           "2305.10601", ("step", "value")),
        E_("guided_beam", "search", "beam search by the model's belief in each step", "G1 E1 C3",
           "samples * levels (and as many evals)", "2305.00633", ("step", "correct")),
        E_("buffer_of_thoughts", "search", "the stored way that solved a similar problem, adapted",
           "G3 E0 C1", "2", "2406.04271", ("distil", "instantiate", "memory")),
        E_("distil_thoughts", "search", "fills the buffer of thoughts on training questions (oracle)",
           "G3 E2 C3", "2 .. 3", "2406.04271", ("distil", "instantiate", "thought", "verifier")),
        E_("saycan", "acting", "the skill that the model wants and the state affords", "G1 E3 C1",
           "0 (evals: (skills + 1) * steps)", "2204.01691", ("skill", "environment")),
        E_("inner_monologue", "acting", "SayCan that is told what came of each skill", "G1 E3 C3",
           "0 (evals: (skills + 1) * steps)", "2207.05608", ("skill", "environment")),
        E_("react", "acting", "thought, action, observation in turns", "G1 E2 C3",
           "1 .. steps (with back-off: + samples)", "2210.03629", ("act",)),
        E_("reflexion", "acting", "trials with the lessons of those that failed by rules", "G3 E1 C3",
           "trials * c + failures before the last trial", "2303.11366", ("remember", "reflect")),
        E_("reflexion_verified", "acting", "trials with lessons, judged by the verifier (oracle)", "G3 E2 C3",
           "trials * c + failures before the last trial", "2303.11366", ("remember", "reflect", "verifier")),
        E_("voyager", "acting", "proposed tasks, and a library of programs that carried some out", "G3 E2 C3",
           "tasks * (1 + programs + checks), at most 1 + repairs of each", "2305.16291",
           ("curriculum", "routine", "repair", "verify", "environment", "code")),
        E_("refiner", "trained", "a trained critic gives hints, the policy revises", "G4 E3 C3",
           "2 * rounds", "2304.01904", ("critique", "revise", "helper")),
        E_("self_correction", "trained", "a trained corrector rewrites the answer", "G4 E3 C3",
           "1 + corrections", "2211.00053", ("revise", "helper")),
        E_("self_prm", "judged", "the policy judges its samples step by step", "G1 E1 C2",
           "samples + judgments of each that has an answer (with reference + 1)", "2505.11227", ("judge",)),
        E_("least_overthinking", "judged", "of several attempts at acting, the one that overthinks least",
           "G1 E1 C2", "attempts * turns (by judge: + 1 .. 1 + retries each)", "2502.08235",
           ("play", "environment")),
        E_("stated_confidence", "judged", "the answer, and how sure the model says it is", "G1 E1 C1",
           "1 (reflect: 2)", "2504.06564"),
    ]
)  # fmt: skip
"""All strategies by name, in the order of the survey's sections."""
