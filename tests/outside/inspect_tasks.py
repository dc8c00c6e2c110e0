"""Tasks of Inspect, as a user writes them."""

from random import Random

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, ContentImage
from inspect_ai.scorer import (
    CORRECT,
    INCORRECT,
    NOANSWER,
    PARTIAL,
    Score,
    accuracy,
    answer,
    choice,
    exact,
    f1,
    includes,
    match,
    model_graded_qa,
    pattern,
    scorer,
)
from inspect_ai.solver import (
    chain_of_thought,
    generate,
    multiple_choice,
    prompt_template,
    self_critique,
    system_message,
    use_tools,
)


def sums(n=120):
    return MemoryDataset(
        [Sample(input=f"{i}+{i + 1}", target=str(2 * i + 1), metadata={"level": i % 3}) for i in range(n)]
    )


def one(**sample):
    return MemoryDataset([Sample(**{"input": "1+1", "target": "2", **sample})])


@task
def adding(n: int = 120):
    return Task(
        dataset=sums(n),
        solver=[system_message("You add."), prompt_template("Level {level}: {prompt}"), generate()],
        scorer=exact(),
    )


@task
def larger():
    samples = [
        Sample(
            input=f"Larger: {i} or {i + 1}?",
            choices=[str(i), str(i + 1)][:: 1 if i % 2 else -1],
            target="B" if i % 2 else "A",
        )
        for i in range(120)
    ]
    return Task(dataset=MemoryDataset(samples), solver=multiple_choice(cot=True), scorer=choice())


@task
def both_letters():
    sample = Sample(input="Even?", choices=["2", "3", "4"], target=["A", "C"], id="even")
    return Task(dataset=[sample], solver=multiple_choice(multiple_correct=True), scorer=choice())


@task
def scored(by: str):
    known = {
        "match": match(),
        "numeric": match(numeric=True),
        "includes": includes(),
        "pattern": pattern(r"=\s*(\d+)"),
        "line": answer("line"),
        "exact": exact(),
        "f1": f1(),
    }
    return Task(dataset=one(target=["42", "forty two"]), scorer=known[by])


@scorer(metrics=[accuracy()])
def odd():
    async def score(state, target):
        text = state.output.completion
        if text == "raise":
            raise ValueError("planted")
        if text == "hang":
            while True:
                pass
        if text == "nothing":
            return None
        if text == "unscored":
            return Score.unscored(reason="grader_failed")
        if text == "refused":
            return Score(value=INCORRECT, reason="refusal")
        values = {
            "C": CORRECT,
            "I": INCORRECT,
            "P": PARTIAL,
            "N": NOANSWER,
            "yes": "yes",
            "0.25": 0.25,
            "true": True,
            "word": "perhaps",
            "dict": {"a": 1},
        }
        return Score(value=values[text], answer=text)

    return score


@task
def odd_values():
    return Task(dataset=one(), scorer=odd())


@task
def conversation():
    turns = [
        ChatMessageSystem(content="Be brief."),
        ChatMessageUser(content="1+1?"),
        ChatMessageAssistant(content="2"),
        ChatMessageUser(content="2+2?"),
    ]
    return Task(dataset=one(input=turns, target="4"), solver=[chain_of_thought(), generate()], scorer=exact())


@task
def critic():
    return Task(dataset=one(), solver=[generate(), self_critique()], scorer=includes())


@task
def tools():
    return Task(dataset=one(), solver=[use_tools([]), generate()], scorer=includes())


@task
def twice():
    return Task(dataset=one(), solver=[generate(), generate()], scorer=includes())


@task
def never():
    return Task(dataset=one(), solver=[system_message("Hm.")], scorer=includes())


@task
def shuffled():
    return Task(
        dataset=one(choices=["1", "2"], target="B"), solver=multiple_choice(shuffle=Random()), scorer=choice()
    )


@task
def graded():
    return Task(dataset=one(), scorer=model_graded_qa())


@task
def unscored():
    return Task(dataset=one())


@task
def two_scorers():
    return Task(dataset=one(), scorer=[includes(), exact()])


@task
def boxed_in():
    return Task(dataset=one(), scorer=exact(), sandbox="local")


@task
def files():
    return Task(dataset=one(files={"a.txt": "a"}), scorer=exact())


@task
def picture():
    turn = ChatMessageUser(content=[ContentImage(image="data:image/png;base64,AAAA")])
    return Task(dataset=one(input=[turn]), scorer=exact())


@task
def broken():
    raise RuntimeError("no data today")
