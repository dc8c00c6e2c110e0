r"""How each prompt role is asked: a dialect gives every role that a model knows its form.

Whatever the dialect, replies are read alike: an answer stands on a last line ``Answer: X`` (or in a box), a
program in a fenced block, a tool call between ``<tool>`` and ``</tool>``, the judge's index in ``\boxed{}``;
``yes`` / ``no``, ``sure`` / ``likely`` / ``impossible`` and ``good`` stand alone. A follow-up question is a
reply without an answer line. All wording is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sharpen.errors import SharpenError, unknown

Pair = tuple[str, str]
Value = str | int | float | Sequence[str] | Sequence[Pair]
"""Text, or a list whose items the form lays out; a pair is an item of two texts."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "solve": ("question",),
    "direct": ("question",),
    "shots": ("question", "demos"),
    "think": ("question",),
    "answer": ("question", "rationale"),
    "step": ("question", "steps"),
    "propose": ("question", "steps", "n"),
    "value": ("question", "steps"),
    "correct": ("question", "steps"),
    "vote": ("question", "candidates"),
    "verify": ("question", "answer"),
    "judge": ("question", "steps"),
    "critique": ("question", "solution"),
    "revise": ("question", "solution", "feedback"),
    "assess": (),
    "refine": (),
    "hint": ("question", "answers"),
    "decompose": ("question",),
    "subquestion": ("question", "known", "sub"),
    "followup": ("question", "known"),
    "statement": ("question", "answer"),
    "mask": ("statement",),
    "program": ("question",),
    "function": ("question",),
    "debug": ("question", "code", "error"),
    "explain": ("question", "code", "result"),
    "template": ("question",),
    "expression": ("question",),
    "plan": ("question",),
    "execute": ("question", "plan"),
    "planned": ("question",),
    "act": ("question", "history"),
    "play": ("question", "advice", "history", "actions"),
    "reflect": ("question", "attempt", "feedback"),
    "remember": ("question", "lessons"),
    "distil": ("question",),
    "instantiate": ("question", "distilled", "template"),
    "generic": (),
    "thought": ("question", "solution"),
    "improve": ("question", "programs"),
    "skill": ("question", "state", "skills"),
    "curriculum": ("question", "state", "done"),
    "routine": ("question", "state", "actions", "routines"),
    "repair": ("question", "state", "actions", "code", "error"),
    "confidence": ("question",),
    "unsure": ("question",),
}
"""Every role with its fields; one without any is a further turn of the dialogue that it stands in.
Lists: ``demos`` (question, solution), ``known`` (sub-question, answer),
``history`` (reply, observation), ``programs`` (code, score or error; worst first) of pairs; ``candidates``,
``answers``, ``lessons``, ``skills``, ``done``, ``routines`` and the judge's ``steps`` of texts."""

_FIELD = re.compile(r"\{([a-z]+)\}")
_LINE = re.compile(r"^\{([a-z]+)\}\n", re.MULTILINE)
_PART = re.compile(r"\{(i|item|first|second)\}")


@dataclass(frozen=True, slots=True)
class Form:
    """The text of a role, with its fields in braces.

    Attributes:
        text: the prompt. A line that is one field alone is left out where the field is empty.
        each: how an item of a list is laid out: ``{item}`` (or ``{first}`` and ``{second}`` of a pair) and
            ``{i}``, its number.
        join: what stands between items.
        start: the number of the first item.
        without: fields that it leaves out, since its model knows what they would say.
    """

    text: str
    each: str = "{item}"
    join: str = "\n"
    start: int = 1
    without: tuple[str, ...] = ()


class Words:
    """A dialect: role to form. ``name`` is what a configuration calls it."""

    def __init__(self, name: str, forms: Mapping[str, Form | str]) -> None:
        """Raises SharpenError where a form names a role or field that does not exist."""
        self.name = name
        self.forms: dict[str, Form] = {}
        for role, form in forms.items():
            if role not in ROLES:
                raise unknown("prompt role", role, ROLES)
            form = Form(form) if isinstance(form, str) else form
            for field in (*_FIELD.findall(form.text), *form.without):
                if field not in ROLES[role]:
                    raise unknown(f"field of the role {role!r}", field, ROLES[role])
            self.forms[role] = form

    @property
    def roles(self) -> list[str]:
        """The roles that this dialect has."""
        return list(self.forms)

    def has(self, role: str) -> bool:
        """Whether this dialect can ask for ``role``; SharpenError where no dialect knows such a role."""
        if role not in ROLES:
            raise unknown("prompt role", role, ROLES)
        return role in self.forms

    def prompt(self, role: str, **fields: Value) -> str:
        """The prompt of a role. Texts lose surrounding space and are inserted as they are, in one pass: what
        stands in them is never taken for a field. Raises SharpenError for a role that this dialect lacks, and
        for a field too many or too few."""
        if not self.has(role):
            raise SharpenError(f"the words {self.name!r} have no role {role!r}: their model never saw it")
        for field in fields:
            if field not in ROLES[role]:
                raise unknown(f"field of the role {role!r}", field, ROLES[role])
        lacking = [field for field in ROLES[role] if field not in fields]
        if lacking:
            raise SharpenError(f"the role {role!r} needs the field {lacking[0]!r}")
        form = self.forms[role]
        said = {field: _said(value, form) for field, value in fields.items()}
        text = _LINE.sub(lambda m: m[0] if said[m[1]] else "", form.text)
        return _FIELD.sub(lambda m: said[m[1]], text)


def _said(value: Value, form: Form) -> str:
    if isinstance(value, str | int | float):
        return str(value).strip()
    return form.join.join(_laid_out(form.each, i, item) for i, item in enumerate(value, form.start))


def _laid_out(each: str, i: int, item: str | Pair | Iterable[str]) -> str:
    parts = {"i": str(i)}
    if isinstance(item, str):
        parts["item"] = item.strip()
    else:
        parts["first"], parts["second"] = (str(x).strip() for x in item)
    if not all(name in parts for name in _PART.findall(each)):
        raise SharpenError(f"an item of {type(item).__name__} does not fit the layout {each!r}")
    return _PART.sub(lambda m: parts[m[1]], each)


_NUMBERED = "{i}.\n{item}"
_END = "End with one last line, in the form `Answer: X`.\n"

ENGLISH = Words(
    "english",
    {
        "solve": "{question}\n\nSolve it step by step, one step a line. " + _END,
        "direct": "{question}\n\nGive the answer at once, without any working, in one line `Answer: X`.\n",
        "shots": Form("{demos}\n\nProblem:\n{question}\nSolution:\n",
                      "Problem:\n{first}\nSolution:\n{second}", "\n\n"),
        "think": "{question}\n\nThink it through carefully, step by step:\n",
        "answer": "{question}\n\nReasoning:\n{rationale}\n\nState what this reasoning arrives at, and "
        "nothing else, in one line `Answer: X`.\n",
        "step": "{question}\n\nSteps so far, if any:\n{steps}\n\nWrite only the next step, in one line. "
        "Where the steps already settle it, write the line `Answer: X`.\n",
        "propose": "{question}\n\nSteps so far, if any:\n{steps}\n\nPropose {n} different next steps, one a "
        "line. Where the steps already settle it, propose the one line `Answer: X`.\n",
        "value": "{question}\n\nSteps so far, if any:\n{steps}\n\nCan these steps still lead to a right "
        "answer? Reply with one word: sure, likely or impossible.\n",
        "correct": "{question}\n\nSteps so far:\n{steps}\n\nIs the last of these steps right? Reply with one "
        "word, yes or no.\n",
        "vote": Form("{question}\n\nCandidates:\n\n{candidates}\n\nWhich candidate is the most promising? "
                     "Compare them briefly, then end with `Answer: N`, N being its number.\n",
                     _NUMBERED, "\n\n"),
        "verify": "{question}\n\nProposed answer: {answer}\n\nIs the proposed answer right? Reply with one "
        "word, yes or no.\n",
        # as sharpen.score.first_error.judge_prompt asks
        "judge": Form("Problem:\n{question}\n\nSolution to judge:\n{steps}\n\n"
                      "Review the solution paragraph by paragraph. Give the index of the earliest paragraph "
                      "that holds an error, counted from 0, or -1 if there is none, in \\boxed{}.\n",
                      "<paragraph_{i}>\n{item}\n</paragraph_{i}>", "\n\n", 0),
        "critique": "{question}\n\nA solution:\n{solution}\n\nReply with the one word good where "
        "everything in it is right. Otherwise say in one or two sentences which step is wrong, and why.\n",
        "revise": "{question}\n\nA first solution:\n{solution}\n\nWhat a reader said about "
        "it, if anything:\n{feedback}\n\nWrite an improved solution from the start, one step a line. " + _END,
        "assess": "Check this solution step by step, one line a step, and stop at the first wrong one. End "
        "with one last line: `Verdict: right` or `Verdict: wrong`.\n",
        "refine": "Write a better solution, going on from the first wrong step, one step a line. " + _END,
        "hint": Form("{question}\n\nHint: the answer is near {answers}.\n\nSolve it step by step, one step a "
                     "line. " + _END, join=", "),
        "decompose": "{question}\n\nWhich easier questions have to be settled first, one after the other? "
        "Write one question a line, without answers or numbering.\n",
        "subquestion": Form("{question}\n\nSettled so far, if anything:\n{known}\n\nNow answer only this: "
                            "{sub}\n" + _END, "{first} {second}"),
        "followup": Form("{question}\n\nFollow-up questions so far, if any:\n{known}\n\nWhere a further "
                         "question has to be settled first, write only that question, in one line. Otherwise "
                         "write the line `Answer: X`.\n", "Q: {first}\nA: {second}"),
        "statement": "Question: {question}\nAnswer: {answer}\n\nPut question and answer into one statement "
        "that keeps every number of the question. Write only the statement.\n",
        "mask": "{statement}\n\nIn this statement one number was replaced by X. Find X, step by "
        "step. " + _END,
        "program": "{question}\n\nWrite a Python program that computes the answer and assigns it to the "
        "variable `ans`. Write only the program, in a block fenced by ```.\n",
        "function": "{question}\n\nWrite a Python function `def solution():` that returns the answer, with a "
        "comment before each step; capital letters that stand for numbers are its arguments. Write only the "
        "function, in a block fenced by ```.\n",
        "debug": "{question}\n\nThis program was meant to solve it:\n```\n{code}\n```\n\nWhat happened:\n"
        "{error}\n\nWrite the corrected program, in a block fenced by ```.\n",
        "explain": "{question}\n\nA program meant to solve it:\n```\n{code}\n```\n\nWhat "
        "happened:\n{result}\n\nExplain line by line what the program does, and where that departs from "
        "the problem.\n",
        "template": "{question}\n\nWrite the same problem with the capital letters A, B, C, ... in place of "
        "its numbers, in their order, in one line. Then, in one more line, what they stand for, in the form "
        "`A=1 B=2`.\n",
        "expression": "{question}\n\nWrite the answer as one algebraic expression over the capital letters, "
        "in Python's notation, in one line `Answer: X`.\n",
        "plan": "{question}\n\nDevise a plan to solve it, one short line a step. Do not carry it out yet.\n",
        "execute": "{question}\n\nPlan:\n{plan}\n\nCarry out the plan, one step a line. " + _END,
        "planned": "{question}\n\nFirst devise a plan to solve it, one short line a step. Then carry it "
        "out, one step a line. " + _END,
        "act": Form("{question}\n\nWhat was done and seen so far, if anything:\n{history}\n\nWrite one "
                    "line of thought. Then either call the calculator on a new line, in the form "
                    "<tool>12*7</tool>, and stop; or, where the answer is known, write the line `Answer: "
                    "X`.\n",
                    "{first}\nObservation: {second}"),
        "play": Form("{question}\n\nLessons from earlier attempts, if any:\n{advice}\n\nWhat was done and "
                     "seen so far, if anything:\n{history}\n\nActions:\n{actions}\n\nWrite one line of "
                     "thought. Then write one action on a new line, in the form "
                     "<tool>ACTION</tool>, and stop. Where an answer is asked for and known, write "
                     "the line `Answer: X` instead.\n",
                     "{first}\nObservation: {second}"),
        "reflect": "{question}\n\nAn attempt that failed:\n{attempt}\n\nWhat is known about its outcome:\n"
        "{feedback}\n\nSay in one or two sentences what went wrong and what to do differently next time.\n",
        "remember": Form("{question}\n\nLessons from earlier attempts:\n{lessons}\n\nSolve it step by step, "
                         "one step a line. " + _END, "- {item}"),
        "distil": "{question}\n\nDo not solve it. List what it asks for, its variables with their values, "
        "and the constraints, one a line.\n",
        "instantiate": "{question}\n\nThe problem in short:\n{distilled}\n\nA way that worked for a "
        "problem of its kind:\n{template}\n\nAdapt this way and solve the problem, one step a line. " + _END,
        "generic": "List what is given and what is asked for. Find what can be worked out first, and work on "
        "from there, one step at a time. Check the result against what is asked for.\n",
        "thought": "{question}\n\nA right solution:\n{solution}\n\nDescribe in general terms, without this "
        "problem's numbers, how problems of this kind are solved. At most five lines.\n",
        "improve": Form("{question}\n\nVersions of a program for it, from worse to better:\n\n{programs}\n\n"
                        "Write a version that should score higher still. Write only the program, in a block "
                        "fenced by ```.\n",
                        "Version {i}, {second}:\n```\n{first}\n```", "\n\n"),
        "skill": Form("{question}\n\nState:\n{state}\n\nSkills:\n{skills}\n\nReply only with the skill to "
                      "use next, written as in the list, or with done.\n", "- {item}"),
        "curriculum": Form("{question}\n\nState:\n{state}\n\nDone so far:\n{done}\n\nPropose the next task "
                           "on the way: new, useful, and only a little harder than what is done. Reply with "
                           "it in one line.\n", "- {item}"),
        "routine": Form("{question}\n\nState:\n{state}\n\nActions:\n{actions}\n\nPrograms that carried "
                        "out similar tasks, if any:\n{routines}\n\nWrite a Python function `def act(state):` "
                        "that returns the list of actions, as strings, that carries the task out from this "
                        "state. Write only the function, in a block fenced by ```.\n",
                        "```\n{item}\n```", "\n\n"),
        "repair": "{question}\n\nState now:\n{state}\n\nActions:\n{actions}\n\nThis function was meant to "
        "carry the task out:\n```\n{code}\n```\n\nWhat happened:\n{error}\n\nWrite the corrected function "
        "`def act(state):`, for the state as it is now, in a block fenced by ```.\n",
        "confidence": "{question}\n\nSolve it step by step, one step a line. Then write, in a line "
        "`Confidence: N%`, how sure you are to be right. " + _END,
        "unsure": "{question}\n\nSolve it step by step, one step a line, and end with the line `Answer: "
        "X`. If you cannot be sure of the answer, reply only with: I don't know.\n",
    },
)  # fmt: skip
"""For language models that read English; those that follow instructions get it as a user's message."""

NANO_2 = Words(
    "nano-2",
    {
        "solve": "{question}\n",
        "direct": "direct {question}\n",
        "shots": Form("{demos}\n{question}\n", "{first}\n{second}"),
        "think": "think {question}\n",
        "answer": "answer {question}\n{rationale}\n",
        "step": "{question}\n{steps}\n",
        "value": "value {question}\n{steps}\n",
        "correct": "correct {question}\n{steps}\n",
        "vote": Form("vote {question}\n{candidates}\n", _NUMBERED),
        "verify": "verify {question}\nAnswer: {answer}\n",
        "judge": Form("judge {question}\n{steps}\n", "{i}. {item}", start=0),
        "critique": "critique {question}\n{solution}\n",
        "revise": "revise {question}\n{solution}\n{feedback}\n",
        # the form that STaR's rationalization uses on nano too
        "hint": Form("{question} hint {answers}\n", join=", "),
        "decompose": "decompose {question}\n",
        "subquestion": Form("sub {question}\n{known}\n{sub}\n", "{first} is {second}"),
        "followup": Form("ask {question}\n{known}\n", "{first} is {second}"),
        "statement": "statement {question}\nAnswer: {answer}\n",
        "mask": "mask {statement}\n",
        "program": "program {question}\n",
        "function": "function {question}\n",
        "debug": "debug {question}\n{code}\n{error}\n",
        "template": "template {question}\n",
        "expression": "expression {question}\n",
        "act": Form("act {question}\n{history}\n", "{first}\n{second}"),
        "confidence": "confidence {question}\n",
        "unsure": "{question} or pass\n",
    },
)
"""The forms that the base ``nano-2`` was trained on (``sharpen.models.roles`` asks through them)."""

MACHINES = Words(
    "machines",
    {"play": Form("{advice}\n{question}\n{history}\n", "{first}\n{second}", without=("actions",))},
)
"""The one form that the base of ``sharpen.models.machines`` was trained on, where there is no advice; its
replies are single lines."""

NANO_SELF = Words("nano-self", {"assess": "assess\n", "refine": "refine\n"})
"""What the recipe ``self_evolution`` teaches shipped models: none of them saw it in its corpus."""

WORDS = {words.name: words for words in (ENGLISH, NANO_2, MACHINES, NANO_SELF)}
"""The dialects by name."""


def dialect(name: str, model: str) -> Words:
    """The dialect of a configuration: by its name, or, for ``auto``, the one that the model knows."""
    if name == "auto":
        name = "nano-2" if model.startswith("nano") else "english"
    return WORDS[name]
