"""Strategies that act, in real environments, against a scripted model."""

from __future__ import annotations

import math
import re

import pytest

from sharpen.sample.fake import FakeEngine
from sharpen.score.verdict import Verdict
from sharpen.strategies import STRATEGIES
from sharpen.strategies.acting import LONGEST_OBSERVATION, best_skill
from sharpen.strategies.ask import Budget
from sharpen.strategies.question import Question
from sharpen.strategies.words import NANO_2
from sharpen.tasks.environment import World, call
from sharpen.tasks.keydoor import Keydoor, KeydoorWorld, expert
from sharpen.tasks.lookup import Lookup
from sharpen.tasks.machine import Machine
from sharpen.tasks.task import Task
from tests.strategies.scripted import answers, asked, play

KEYDOOR, MACHINE, LOOKUP = Keydoor(level=1), Machine(level=1), Lookup(level=2)


def acted(source, n: int = 0, **more) -> tuple[Task, Question]:
    task = source.take("test", n + 1)[n]
    return task, Question(task.id, task.prompt, environment=lambda: source.environment(task), **more)


def turns(task: Task) -> list[str]:
    return [f"I think.\n{call(a)}" for a in task.answer.split("; ")]


# skills ----------------------------------------------------------------------------------------------
def test_the_skill_with_the_largest_product_is_taken():
    said, afford = [math.log(p) for p in (0.6, 0.3, 0.1)], (0.1, 0.9, 0.5)
    assert best_skill(said, afford) == 1
    assert best_skill(said, (1, 1, 1)) == 0
    assert best_skill(said, (0, 0, 0)) is None
    assert best_skill([math.nan, -5.0], (1, 1)) == 1
    assert best_skill([], []) is None


class Guided(KeydoorWorld):
    """Affords only what an expert would do next."""

    def skills(self):
        self.plan = getattr(self, "plan", None) or expert(KeydoorWorld(self.setting))
        wanted = self.plan[len(self.log)]
        return {action: float(action == wanted) for action in self.actions}


@pytest.mark.parametrize("name", ["saycan", "inner_monologue"])
def test_skills_are_scored_and_nothing_is_sampled(name):
    task = KEYDOOR.take("test", 1)[0]
    question = Question("q", task.prompt, environment=lambda: Guided(task.data["setting"]))
    played = play(f"{name}:done=0", [], question=question)
    actions = task.answer.split("; ")
    assert (played.final.answer, played.final.stop, played.calls) == (task.answer, "done", 0)
    assert (played.session.spent.evals, played.session.spent.tools) == (7 * len(actions), len(actions))
    assert KEYDOOR.verify(task, played.final.text).correct
    # among free moves the model alone decides; the fake one likes short words, and walks east and west
    free = play(f"{name}:steps=5,done=0", [], question=acted(KEYDOOR)[1])
    assert (free.session.spent.evals, free.final.stop) == (35, "max")


def test_done_ends_at_once_where_nothing_else_can_be_done():
    class Stuck(World):
        limit = 5
        begin = dict
        view = lambda self: "stuck"  # noqa: E731
        skills = lambda self: {"push": 0.0}  # noqa: E731

    question = Question("q", "Get out\n", environment=lambda: Stuck({"limit": 5}))
    played = play("saycan", [], question=question)
    assert (played.final.answer, played.final.stop, played.session.spent.evals) == (None, "done", 2)


def test_only_inner_monologue_is_told_what_came_of_a_skill(monkeypatch):
    shown = {}
    task = KEYDOOR.take("test", 1)[0]
    annotate = FakeEngine.annotate
    for name in ("saycan", "inner_monologue"):
        texts = shown.setdefault(name, [])

        def watch(self, policy, sequences, texts=texts, **more):
            texts.extend(policy.tokenizer.decode(s) for s in sequences)
            return annotate(self, policy, sequences, **more)

        monkeypatch.setattr(FakeEngine, "annotate", watch)
        blind = type("Blind", (KeydoorWorld,), {"skills": lambda self: {"open": 1.0}})
        question = Question("q", task.prompt, environment=lambda w=blind: w(task.data["setting"]))
        play(f"{name}:steps=3,done=0", [], question=question)
    assert any("open: failed: failed, at" in t for t in shown["inner_monologue"])
    assert not any("failed" in t for t in shown["saycan"])


# ReAct -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", [KEYDOOR, MACHINE])
def test_react_acts_until_the_environment_ends(source):
    task, question = acted(source)
    played = play("react:steps=20", turns(task), question=question)
    assert played.calls == played.session.spent.tools == len(task.answer.split("; "))
    assert (played.final.answer, played.final.stop) == (task.answer, "done")
    assert source.verify(task, played.final.text).correct
    assert source.environment(task).reset() in played.prompts[0]
    assert all(action in played.prompts[0] for action in source.world.actions)


def test_react_uses_the_search_tool_until_it_answers():
    task = LOOKUP.take("test", 1)[0]
    facts = [line.split(" is ")[0] for line in task.solution.split("\n")[:-1]]
    said = [*(f"Next.\n{call('search ' + f)}" for f in facts), f"So it is.\nAnswer: {task.answer}"]
    question = Question("q", task.prompt, search=LOOKUP.search(task))
    played = play("react", said, question=question)
    assert (played.calls, played.final.answer, played.final.stop) == (len(said), task.answer, "done")
    assert played.session.spent.tools == len(facts)
    assert all(line in played.prompts[-1] for line in task.solution.split("\n")[:-1])
    assert LOOKUP.verify(task, played.final.text).correct


def test_react_has_a_calculator_and_asks_nano_2_as_it_was_trained():
    said = ["next +5\n<tool>7+5</tool>", "next *3\n<tool>12*3</tool>", "Answer: 36"]
    played = play("react", said, question=asked("Compute 7 +5 *3\n"), words=NANO_2)
    assert (played.calls, played.final.answer) == (3, "36")
    history = [(said[0], "12"), (said[1], "36")]
    assert played.prompts[2] == NANO_2.prompt("act", question="Compute 7 +5 *3", history=history)


@pytest.mark.parametrize(
    ("said", "seen"),
    [("I think.", "invalid"), ("", "invalid"), ("<tool></tool>", "invalid"), ("<tool>7+", "invalid"),
     ("<tool>fly(2)</tool>", "invalid"), ("<tool>1/0</tool>", "invalid"), ("<tool>1/2</tool>", "1/2")],
)  # fmt: skip
def test_malformed_unknown_and_empty_actions_are_answered(said, seen):
    played = play("react:steps=3", [said, said, "Answer: 3"])
    assert (played.calls, played.final.answer, played.final.stop) == (3, "3", "done")
    assert f"Observation: {seen}\n" in played.prompts[1]


def test_a_tool_that_fails_says_why_and_a_long_observation_is_cut():
    def search(query: str) -> str:
        if "bad" in query:
            raise RuntimeError("no such index")
        return "x" * 5000

    question = asked(search=search)
    played = play("react:steps=3", [call("bad"), call("long"), "Answer: 1"], question=question)
    assert "RuntimeError: no such index" in played.prompts[1]
    assert re.findall("x{9,}", played.prompts[2]) == ["x" * LONGEST_OBSERVATION]


def test_react_that_does_not_finish_and_its_back_off():
    lost = play("react:steps=3", ["hm"])
    assert (lost.calls, lost.final.answer, lost.final.stop) == (3, None, "max")
    after = play("react:steps=2,backoff=to_votes,samples=3", ["hm", "hm", *answers("5", "5", "6")])
    assert (after.calls, after.final.answer, after.final.notes) == (5, "5", {"backoff": 1.0})
    sure = play("react:backoff=from_votes,samples=4", answers("5", "5", "6", "7"))
    assert (sure.calls, sure.final.answer) == (4, "5")
    unsure = play("react:backoff=from_votes,samples=3", [*answers("5", "6", "7"), "Answer: 8"])
    assert (unsure.calls, unsure.final.answer) == (4, "8")
    neither = play("react:steps=2,backoff=from_votes,samples=3", [*answers("5", "6", "7"), "hm"])
    assert (neither.calls, neither.final.answer) == (5, "5")
    assert "unknown back-off" in play("react:backoff=maybe", ["hm"]).final.stop


# Reflexion -------------------------------------------------------------------------------------------
def test_reflexion_shows_the_last_lessons_and_asks_no_verifier():
    said = ["no idea", "lesson one", "no idea", "lesson two", "no idea", "lesson three", "Answer: 4"]
    played = play("reflexion:trials=5,memory=2", said)
    assert (played.calls, played.final.answer, played.final.stop) == (4 + 3, "4", "done")
    assert played.final.notes == {"trials": 4.0}
    assert "lesson two" in played.prompts[-1]
    assert "lesson three" in played.prompts[-1]
    assert "lesson one" not in played.prompts[-1]
    # not even where one is there
    question = asked(verify=lambda text: pytest.fail("the verifier was asked"))
    assert play("reflexion", answers("3"), question=question).final.answer == "3"
    assert not STRATEGIES["reflexion"].oracle


def test_verified_reflexion_is_an_oracle_and_never_shows_gold():
    question = asked(verify=lambda text: Verdict(float(text.endswith("18")), detail="3 is not 18"))
    said = ["Answer: 3", "I slipped", "Answer: 18"]
    played = play("reflexion_verified", said, question=question)
    assert (played.calls, played.final.answer, played.final.stop) == (3, "18", "done")
    assert not any("18" in p for p in played.prompts)
    assert STRATEGIES["reflexion_verified"].oracle
    never = play("reflexion_verified:trials=3", ["Answer: 3", "hm"] * 3, question=question)
    assert (never.calls, never.final.answer, never.final.stop) == (3 + 2, "3", "max")
    blind = play("reflexion_verified", said, question=asked())
    assert blind.final.stop.startswith("error: NoVerifier")


def test_reflexion_without_reflections_is_a_control():
    said = ["no idea", "no idea", "Answer: 4"]
    played = play("reflexion:reflect=false", said)
    assert (played.calls, played.final.answer) == (3, "4")
    assert len(set(played.prompts)) == 1


def test_reflexion_in_an_environment_fails_by_rules():
    task, question = acted(MACHINE)
    mended = task.answer.split("; ")[0]
    rash = [call("finish")]
    careful = [call(mended), call("run 1"), call("finish")]
    played = play("reflexion:trials=2", [*rash, "look first", *careful], question=question)
    assert (played.calls, played.final.stop, played.final.notes["trials"]) == (1 + 1 + 3, "done", 2)
    assert MACHINE.verify(task, played.final.text).correct
    assert "look first" in played.prompts[2]
    assert "unchecked" in played.prompts[1]


# Voyager ----------------------------------------------------------------------------------------------
def program(*actions: str) -> str:
    return f"```\ndef act(state):\n    return {list(actions)!r}\n```"


def test_voyager_keeps_what_was_carried_out_and_confirmed():
    task, question = acted(KEYDOOR, unsafe=True)
    actions = task.answer.split("; ")
    at = actions.index("take") + 1
    said = ["fetch the key", program(*actions[:at]), "yes", "open the door", program(*actions[at:]), "yes"]
    played = play("voyager", said, question=question)
    assert (played.calls, played.final.stop, played.final.notes) == (6, "done", {"skills": 2.0})
    assert KEYDOOR.verify(task, played.final.text).correct
    assert "fetch the key" in played.prompts[3]
    assert "def act(state)" in played.prompts[4].split("similar tasks, if any:")[1].split("Write a")[0]


def test_voyager_repairs_with_the_error_and_stores_no_failure():
    _, question = acted(KEYDOOR, unsafe=True)
    said = ["go", "```\ndef act(state):\n    return 1/0\n```", program("open"), program("fly"), "```\nx\n```"]
    played = play("voyager:tasks=1,repairs=3", said, question=question)
    assert (played.calls, played.final.notes, played.final.stop) == (1 + 4, {"skills": 0.0}, "max")
    assert "ZeroDivisionError" in played.prompts[2]
    assert "open failed" in played.prompts[3]
    assert "fly failed" in played.prompts[4]


def test_voyager_stores_nothing_unconfirmed_and_nothing_twice():
    task, question = acted(KEYDOOR, unsafe=True)
    move = next(a for a in ("east", "west", "north", "south") if KEYDOOR.environment(task).act(call(a)).ok)
    back = {"east": "west", "west": "east", "north": "south", "south": "north"}[move]
    denied = ["walk", program(move), "no", program(back), "no"]
    played = play("voyager:tasks=1,repairs=1", denied, question=question)
    assert (played.calls, played.final.notes) == (5, {"skills": 0.0})
    twice = ["walk", program(move), "yes", "walk", program(back), "yes"]
    played = play("voyager:tasks=2", twice, question=question)
    assert (played.calls, played.final.notes) == (6, {"skills": 1.0})
    held = Question(
        "q", task.prompt, environment=question.environment, memory=[("walk", "code")], unsafe=True
    )
    assert play("voyager:tasks=2", twice, question=held).final.notes == {"skills": 0.0}


# all of them --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["react", "reflexion", "voyager"])
def test_a_budget_of_one_call_ends_cleanly(name):
    _, question = acted(MACHINE, unsafe=True)
    played = play(name, [call("read 0")], question=question, budget=Budget(calls=1))
    assert (played.calls, played.final.stop) == (1, "budget")
    assert played.final.answer == (None if name == "voyager" else "read 0")


@pytest.mark.parametrize("name", ["saycan", "inner_monologue", "voyager"])
def test_no_environment_is_an_error_that_says_so(name):
    assert "need an environment" in play(name, []).final.stop
