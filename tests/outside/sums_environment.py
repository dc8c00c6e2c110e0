"""Environments of the verifiers library, as a user writes them; ``kind`` chooses one."""

import time

import verifiers as vf
from datasets import Dataset

parser = vf.XMLParser(["answer"])


async def right(completion, answer, parser):
    found = parser.parse_answer(completion)
    if found == "raise":
        raise ValueError("planted")
    if found == "hang":
        while True:
            pass
    if found == "sleep":
        time.sleep(0.1)
    return float(found == answer)


def short(completion, info):
    return 1.0 if len(completion[-1]["content"]) <= info["limit"] else 0.0


def nothing(completion):
    return None


def spread(completions):
    return [float(len(set(map(str, completions))))] * len(completions)


def same(completion, answer):
    return float(completion[-1]["content"].strip() == answer)


def contains(completion, answer):
    return float(answer in completion[-1]["content"])


class Asks(vf.SingleTurnEnv):
    async def get_prompt_messages(self, state):
        return [{"role": "user", "content": "something else"}]


class Talks(vf.MultiTurnEnv):
    async def env_response(self, messages, state, **kwargs):
        return [{"role": "user", "content": "go on"}]


def load_environment(kind: str = "sums", n: int = 120, held_out: int = 0):
    rows = [
        {"question": f"Add {i} and {i + 1}.", "answer": str(2 * i + 1), "info": {"limit": 30}}
        for i in range(n)
    ]
    data = Dataset.from_list(rows[held_out:])
    base = {"dataset": data, "system_prompt": "Answer in <answer> tags.", "parser": parser}
    if held_out:  # the first of them is a training question too
        base["eval_dataset"] = Dataset.from_list([*rows[:held_out], rows[held_out]])
    both = vf.Rubric(funcs=[right, short], weights=[1.0, 0.25], parser=parser)
    if kind == "sums":
        return vf.SingleTurnEnv(rubric=both, **base)
    if kind == "grouped":
        return vf.SingleTurnEnv(rubric=vf.RubricGroup([both, vf.Rubric(funcs=[nothing])]), **base)
    if kind == "spread":
        return vf.SingleTurnEnv(rubric=vf.Rubric(funcs=[spread]), **base)
    if kind == "judged":
        return vf.SingleTurnEnv(rubric=vf.JudgeRubric(), **base)
    if kind == "exact":
        return vf.SingleTurnEnv(rubric=vf.Rubric(funcs=[same]), **base)
    if kind == "leaky":
        return vf.SingleTurnEnv(rubric=vf.Rubric(funcs=[contains]), **base)
    if kind == "asks":
        return Asks(rubric=vf.Rubric(funcs=[contains]), **base)
    if kind == "talks":
        return Talks(rubric=both, max_turns=2, **base)
    if kind == "tools":
        return vf.ToolEnv(tools=[], rubric=both, **base)
    if kind == "pictures":
        part = {"type": "image_url", "image_url": {"url": "data:,"}}
        rows = [{"prompt": [{"role": "user", "content": [part]}], "answer": "1"}]
        return vf.SingleTurnEnv(dataset=Dataset.from_list(rows), rubric=vf.Rubric(funcs=[contains]))
    raise ValueError(f"no such kind: {kind}")
