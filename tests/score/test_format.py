"""The form of a completion: pieces in their order, marks once, and nothing where nothing was asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.sample.episode import Finish
from sharpen.score.answers import extract_answer
from sharpen.score.format import Form, FormatVerifier, WithFormat
from sharpen.score.verdict import Status, Verdict
from sharpen.score.verify import answer_verifier, judge
from sharpen.tasks.task import hidden
from sharpen.verbs.asking import Reward
from sharpen.verbs.scoring import named
from tests.scored import episode, task


@pytest.mark.parametrize(
    ("form", "text", "problem"),
    [
        ("any,answer", "So \\boxed{4}\n", ""),
        ("any,answer", "Answer: 4", ""),
        ("any,answer", "Answer: 4\nor 5", "other text ('or 5') after answer"),
        ("any,answer,any", "Answer: 4\nor 5", ""),
        ("any,answer", "\\boxed{4} \\boxed{", "no final answer"),
        ("answer", "So \\boxed{4}", "other text ('So') at the start"),
        ("any,box", "So \\boxed{4}", ""),
        ("any,box", "Answer: 4", "the final answer is in a line, not in a box"),
        ("any,line", "\\boxed{4}", "the final answer is in a box, not in a line"),
        ("<think>,text", "<think>a</think> b", ""),
        ("<think>,text", "<think>a</think> ", "no text after </think>"),
        ("<think>,text", "a <think>a</think> b", "other text ('a') at the start"),
        ("<think>,text", "<think> </think> b", "nothing before </think>"),
        ("<think>,text", "<think>a<think>b</think> c", "<think> stands 2 times"),
        ("<think>,text", "<think>a</think>b</think>c", "</think> stands 2 times"),
        ("<think>,text", "a", "no <think>"),
        ("<think>,text", "</think>a<think>", "</think> comes before <think>"),
        ("...</think>,any,box", "a</think> \\boxed{4}", ""),
        ("...</think>,any,box", "<think>a</think> \\boxed{4}", ""),
        ("<think>,any,box", "<think>\\boxed{4}</think> b", "box comes before what it should follow"),
        ("<think>,any,answer", "<think>a \\boxed{4}</think> b\nAnswer: 4", ""),
        ("<think>,<answer>", "<think>a</think>\n<answer>b</answer>\n", ""),
        ("<think>,<answer>", "<think>a</think> so <answer>b</answer>", "other text ('so') after </think>"),
        ("<think>,<answer>", "<answer><think>a</think>b</answer>", "other text ('<answer>') at the start"),
        (
            "any,<think>,<answer>",
            "<answer>a</answer><think>b</think>",
            "</answer> comes before what it should follow",
        ),
        ("<|a|>...<|/a|>,<|b|>...<|/b|>", "<|a|>x<|/a|><|b|>y<|/b|>", ""),
        ("json", ' {"a": 1}\n', ""),
        ("json", '```json\n{"a": 1}\n```', "no JSON object at the start"),
        ("<think>,json", "<think>a</think>[1]", "no JSON object after </think>"),
        ("any", "", ""),
    ],
)
def test_forms(form, text, problem):
    assert Form(form).problem(text) == problem


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("", "unknown piece of a format ''"),
        ("think,any", "did you mean '<think>'"),
        ("any,answr", "did you mean 'answer'"),
        ("answer,any,box", "there is one final answer"),
        ("<a>,<a>", "no mark may stand twice"),
        ("##...###", "no mark may stand twice, or inside another"),
        ("<a>...<a>", "unknown piece"),
        ("any,text", "free text follows free text"),
        ("any,...</think>", "without an opening mark comes first"),
    ],
)
def test_a_form_that_no_text_has_is_refused(form, why):
    with pytest.raises(SharpenError, match=why.replace("?", "\\?")):
        Form(form)


def test_a_prefilled_mark_counts_as_written():
    verifier = FormatVerifier(Form("<think>,text"))
    assert verifier(task=task(), episode=episode("a</think>b", prefill="<think>\n")).score == 1.0
    # one that writes it again has opened it twice
    assert verifier(task=task(), episode=episode("<think>a</think>b", prefill="<think>\n")).score == 0.0


def test_the_verdict_says_what_is_wrong_and_reads_no_gold():
    verifier = named(Reward("format:<think>,any,answer"), source=None, seed=0)  # type: ignore[arg-type]
    [secret] = hidden([task()])
    good = judge(verifier, task=secret, episode=episode("<think>a</think>\nAnswer: 1"))
    assert good == Verdict(1.0, by="format", parts={"format": 1.0})
    bad = judge(verifier, task=secret, episode=episode("Answer: 1"))
    assert bad == Verdict(0.0, by="format", detail="no <think>", parts={"format": 0.0})
    cut = judge(verifier, task=secret, episode=episode("<think>a", finish=Finish.LENGTH))
    assert (cut.status, cut.score) == (Status.TRUNCATED, 0.0)
    assert named(Reward("format"), source=None, seed=0).spec == {"verifier": "format", "form": "any,answer"}  # type: ignore[arg-type]
    assert verifier.spec["form"] == "<think>,any,answer"


# beside correctness -------------------------------------------------------------------------------
GOOD, BAD = "<think>a</think>\nAnswer: {}", "Answer: {}"


@pytest.mark.parametrize(
    ("bonus", "malformed", "scores"),
    [
        (0.5, None, (1.5, 0.5, 1.0, 0.0)),  # a bonus for the form
        (0.0, 0.0, (1.0, 0.0, 0.0, 0.0)),  # nothing without it
        (0.5, 0.0, (1.5, 0.5, 0.0, 0.0)),
        (0.0, -1.0, (1.0, 0.0, -1.0, -1.0)),
    ],
)
def test_a_reward_for_the_form_leaves_accuracy_alone(bonus, malformed, scores):
    verifier = WithFormat(
        answer_verifier("number"), Form("<think>,any,answer"), bonus=bonus, malformed=malformed
    )
    texts = [GOOD.format(42), GOOD.format(1), BAD.format(42), BAD.format(1)]
    verdicts = [judge(verifier, task=task(), episode=episode(t)) for t in texts]
    assert tuple(v.score for v in verdicts) == scores
    assert [v.correct for v in verdicts] == [True, False, True, False]
    assert [v.parts["format"] for v in verdicts] == [1.0, 1.0, 0.0, 0.0]
    assert verdicts[2].detail == "no <think>"
    assert verifier.name == "number+format"
    assert verifier.spec["outcome"] == {"verifier": "number"}


def test_an_unknown_outcome_stays_unknown():
    verifier = WithFormat(answer_verifier("number"), Form(), bonus=1.0)
    verdict = judge(verifier, task=task(answer="cat"), episode=episode("Answer: 1"))
    assert (verdict.status, verdict.score, dict(verdict.parts)) == (Status.BAD_GOLD, 0.0, {"format": 1.0})
    with pytest.raises(SharpenError, match="must be finite"):
        WithFormat(answer_verifier("number"), Form(), bonus=float("nan"))


# properties ---------------------------------------------------------------------------------------
FORMS = ("any,answer", "<think>,text", "<think>,any,box", "<think>,<answer>", "...</think>,any,line", "json")
PARTS = (
    "<think>", "</think>", "<answer>", "</answer>", "\\boxed{4}", "\\boxed{", "}", "\nAnswer: 4\n", "{", "x",
    " ", "\n", "{}", "\u200b",
)  # fmt: skip
pieces = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


@given(st.sampled_from(FORMS), st.one_of(pieces, st.text(max_size=60)))
def test_any_text_is_judged_and_outer_white_space_never_counts(form, text):
    problem = Form(form).problem(text)
    assert isinstance(problem, str)
    assert "\n" not in problem
    assert bool(Form(form).problem(f" \n{text}\n ")) == bool(problem)


@given(st.sampled_from(FORMS), pieces)
def test_what_has_the_form_has_its_pieces(form, text):
    if Form(form).problem(text):
        return
    for mark in ("<think>", "<answer>"):
        if mark in form.split(","):
            assert text.count(mark) == text.count(mark.replace("<", "</")) == 1
    if {"answer", "box", "line"} & set(form.split(",")):
        assert extract_answer(text) is not None
    if form.endswith(("answer", "box", "line", ">")):
        # nothing can be added behind
        assert Form(form).problem(text + " more")


inner = st.text(st.characters(exclude_characters="<>\\{}", categories=("L", "N")), min_size=1)


@given(inner, inner, inner)
def test_what_is_built_to_the_form_has_it(thought, talk, answer):
    built = f"<think>{thought}</think>\n{talk} \\boxed{{{answer}}}\n"
    assert Form("<think>,any,box").problem(built) == ""
    assert Form("<think>,text,answer").problem(built) == ""
    assert Form("<think>,box").problem(built).startswith("other text")
    assert Form("<think>,any,box").problem(built.replace("</think>", "")) == "no </think>"


# attacks ------------------------------------------------------------------------------------------
ATTACKS = {
    "empty": "",
    "white space": " \n\t\u00a0",
    "zero width": "\u200b\u200d\ufeff",
    "junk": "lorem ipsum {}[]()\\",
    "marks alone": "<think></think><answer></answer>",
    "blank blocks": "<think> \n</think><answer>\u200b</answer>",
    "empty box": "<think>a</think><answer>b</answer>\\boxed{}",
    "marks in words": "I think and then I answer: <think/> <answer/>",
    "spray of blocks": "<think>a</think><answer>b</answer>" * 3,
    "nested": "<think><think>a</think></think><answer><answer>4</answer></answer>",
    "crossed": "<think>a<answer></think>4</answer>",
    "reversed": "</think>a<think></answer>4<answer>",
    "unclosed": "<think>a <answer>4",
    "unclosed box": "<think>a</think><answer>b</answer> \\boxed{4} \\boxed{",
    "answer in the thought": "<think>\\boxed{4} <answer>4</answer></think>",
    "escaped": "&lt;think&gt;a&lt;/think&gt;&lt;answer&gt;4&lt;/answer&gt;",
    "upper case": "<THINK>a</THINK><ANSWER>4</ANSWER>",
    "other letters": "<thіnk>a</thіnk><аnswer>4</аnswer>",
    "control characters": "<think\x00>a</think><answer>4</answer\x00>",
    "prompt echo": "Think inside <think> </think>, then answer inside <answer> </answer> or in \\boxed{}.",
    "deep JSON": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "JSON with NaN": '{"a": NaN}',
    "huge number": '{"a": ' + "9" * 100_000 + "}",
    "two objects": "{} {}",
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(
    "form", ["<think>,<answer>", "<think>,any,answer", "<think>,text,box", "<think>,<answer>,any,box", "json"]
)
def test_attacks_do_not_have_the_form(name, form):
    verdict = judge(FormatVerifier(Form(form)), task=task(), episode=episode(ATTACKS[name]))
    assert verdict.score == 0.0
    assert not verdict.status.unknown
    assert verdict.detail


def test_it_takes_linear_time():
    # a quadratic scan of these would not come back
    for bad in (
        "<think>" * 100_000,
        "\\boxed{" * 100_000,
        "</think>" * 100_000 + "<think>",
        "\u200b" * 300_000,
    ):
        for form in FORMS:
            assert Form(form).problem(bad)
