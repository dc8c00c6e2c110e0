"""The published methods, one file each, and recipes of one's own. This table imports nothing heavy: ``load``
does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharpen.errors import SharpenError, unknown
from sharpen.runs import own

if TYPE_CHECKING:
    from sharpen.runs.config import Config
    from sharpen.verbs.run import Made, Run

    Recipe = Callable[["Run", Any], None]


@dataclass(frozen=True, slots=True)
class RecipeEntry:
    """Where a recipe lives: its module holds a function of this name and a ``Settings`` class.

    ``name`` is that of a module here, or ``FILE.py:FUNCTION`` in a file of the user's own.
    """

    name: str
    title: str
    arxiv: str

    @property
    def function(self) -> str:
        """The function's name."""
        mine = own.target(self.name)
        return mine.name if mine else self.name

    @property
    def module(self) -> Any:
        """The module, imported."""
        if own.target(self.name):
            return own.module_of(self.name, "recipe")
        return importlib.import_module(f"sharpen.recipes.{self.name}")

    @property
    def check(self) -> Callable[[Any], Made] | None:
        """What the recipe looks at before anything is written, where it is not what all training looks at:
        its module's function ``check``."""
        return getattr(self.module, "check", None)

    def load(self) -> tuple[Recipe, type[Config]]:
        """The recipe's function and its settings; no torch is imported.

        Raises SharpenError where a file of the user's own has no such function, or no ``Settings``.
        """
        module = self.module
        if own.target(self.name):
            _must_be_a_recipe(self.name, module)
        return getattr(module, self.function), module.Settings


RECIPES: dict[str, RecipeEntry] = {
    entry.name: entry
    for entry in (
        RecipeEntry("evaluate", "Strategies at inference time side by side, with their cost", "2407.11511"),
        RecipeEntry("sft", "Supervised fine-tuning on worked solutions (control)", ""),
        RecipeEntry("star", "STaR: Self-Taught Reasoner", "2203.14465"),
        RecipeEntry("lmsi", "LMSI: self-improvement from majority answers, label-free", "2210.11610"),
        RecipeEntry("self_corrector", "Self-correction: learn to mend one's answers", "2211.00053"),
        RecipeEntry(
            "self_rationalization", "Self-rationalization: a judge learns from its judgments", "2410.05495"
        ),
        RecipeEntry("self_evolution", "SELF: self-evolution with language feedback", "2310.00533"),
        RecipeEntry("rest_em", "ReST-EM: expectation-maximisation self-training", "2312.06585"),
        RecipeEntry("rft", "RFT: rejection-sampling fine-tuning", "2308.01825"),
        RecipeEntry("iterative_rft", "Iterative RFT", "2412.17256"),
        RecipeEntry("online_rft", "Online RFT", "2402.03300"),
        RecipeEntry("b_star", "B-STaR: balanced exploration and exploitation", "2412.17256"),
        RecipeEntry("sharpening", "Sharpening: what the model itself finds likeliest", "2412.01951"),
        RecipeEntry("reinforce", "REINFORCE with the round's mean as baseline", ""),
        RecipeEntry("dpo", "DPO, IPO, KTO on one's own attempts", "2305.18290"),
        RecipeEntry("rloo", "RLOO: REINFORCE, leave-one-out", "2402.14740"),
        RecipeEntry("grpo", "GRPO: group-relative policy optimization", "2402.03300"),
        RecipeEntry("ppo", "PPO with a value function", "1707.06347"),
        RecipeEntry("spiral", "SPIRAL: self-play on zero-sum games", "2506.24119"),
        RecipeEntry("autothink", "AutoThink: learn when to think", "2505.10832"),
        RecipeEntry("self_efficiency_rl", "Self-rewarded efficiency: right, and short", "2506.15647"),
        RecipeEntry("auto_cei", "Auto-CEI: answer, or say that you cannot", "2410.07627"),
        RecipeEntry("efficiency_steering", "Efficiency steering: shorter reasoning, untrained", "2506.15647"),
    )
}


def recipe(name: str) -> RecipeEntry:
    """The entry called ``name``, or of ``FILE.py:FUNCTION`` (see ``sharpen.runs.own``); SharpenError with the
    nearest name where there is none."""
    if mine := own.target(name):
        return RecipeEntry(str(mine), f"a recipe of your own in {mine.file}", "")
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]


def _must_be_a_recipe(name: str, module: Any) -> None:
    from sharpen.runs.config import Config

    if not callable(own.load(name, "recipe")):
        raise SharpenError(f"recipe {name}: it must be a function f(run, config)")
    settings = getattr(module, "Settings", None)
    if not isinstance(settings, type) or not issubclass(settings, Config):
        raise SharpenError(f"recipe {name}: its file needs a class Settings, such as Settings(SelfTraining)")
