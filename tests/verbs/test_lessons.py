"""D_meta: dialogues of the very tokens, and what of them is learnt."""

import numpy as np
import pytest

from sharpen.errors import SharpenError
from sharpen.runs.journal import Journal
from sharpen.runs.streams import stream
from sharpen.sample.fake import FakeEngine
from sharpen.sample.law import SamplingLaw
from sharpen.sample.text import decode
from sharpen.score.feedback import Annotator, judgment
from sharpen.strategies.words import NANO_SELF
from sharpen.tasks.task import Task
from sharpen.verbs.asking import Asking
from sharpen.verbs.lessons import direct_rows, lessons, meta_rows
from sharpen.verbs.run import Run

GAME = Task("g", "Make 29 from 3 7 8\n", "3*7+8", {"numbers": [3, 7, 8], "target": 29})
SOLVED = "3*7=21\n21+8=29\nAnswer: 3*7+8"
WRONG = "3*7=21\n21+8=30\nAnswer: 3*7+8"


def taught(folder, said, asking=None):
    asking = asking or Asking()
    run = Run(
        Journal.create(folder / "run", {"recipe": "none", "seed": 0}, ""), seed=0, engine=FakeEngine(said)
    )
    policy = run.policy("nano")
    groups = run.sample(policy, [GAME], n=1, law=SamplingLaw(), asking=asking)
    program = Annotator(run.source("countdown:level=2"))
    found = lessons(policy, groups, program, NANO_SELF, asking, stream("ways"))
    run.journal.close()
    return policy, groups, found


def learnt(policy, row):
    return decode(policy.tokenizer, row.tokens[row.arrays["weight"] > 0])


def test_a_wrong_answer_is_criticised_and_mended_and_never_learnt(tmp_path):
    policy, groups, found = taught(tmp_path, lambda request: WRONG)
    (dialogue, direct) = meta_rows(found)
    whole = decode(policy.tokenizer, dialogue.tokens)
    said = "1 7*3=21 21-21=0 yes\n2 8+21=29 30-29=1 no\nVerdict: wrong<|end|>"
    assert whole.startswith(f"Make 29 from 3 7 8\n{WRONG}<|end|>\nassess\n{said}\nrefine\n")
    refined = whole.rpartition("refine\n")[2]
    assert refined.startswith("3*7=21\n")  # it goes on from the first wrong line
    assert learnt(policy, dialogue) == said + refined
    assert learnt(policy, direct) == refined
    # the answer stands there token by token as it was sampled, with weight 0
    episode = groups[0].episodes[0]
    n = len(episode.tokens)
    assert np.array_equal(dialogue.tokens[:n], episode.tokens)
    assert not dialogue.arrays["weight"][:n].any()


def test_a_right_answer_is_its_own_refinement(tmp_path):
    policy, groups, (lesson,) = taught(tmp_path, lambda request: SOLVED)
    assert lesson.qualified
    sampled = groups[0].episodes[0].spans[-1].tokens
    assert np.array_equal(lesson.refined, sampled)
    assert judgment(decode(policy.tokenizer, lesson.spans[3].tokens, eos_ids=policy.eos_ids)) == "qualified"


def test_the_objective_is_a_sum_of_three_terms(tmp_path):
    _, _, found = taught(tmp_path, lambda request: WRONG)
    spans = found[0].spans
    n = {"feedback": len(spans[3].tokens), "refined": len(spans[5].tokens)}

    def loss(**weights):
        """Summed NLLs of 12 (feedback), 9 (refinement) and 15 (plain), spread evenly over their tokens."""
        total = 0.0
        for row in meta_rows(found, **weights):
            nll = np.full(len(row.tokens), 1e6)  # whatever must not count
            if row.key.endswith("#direct"):
                nll[-n["refined"] :] = 15 / n["refined"]
            else:
                nll[-n["refined"] :] = 9 / n["refined"]
                ends = len(row.tokens) - n["refined"] - len(spans[4].tokens)
                nll[ends - n["feedback"] : ends] = 12 / n["feedback"]
            total += float((row.arrays["weight"] * nll).sum())
        return total

    assert loss(beta=1) == pytest.approx(36, rel=1e-5)
    assert loss(beta=0) == pytest.approx(21, rel=1e-5)
    assert loss(beta=1, alpha=0.5) == pytest.approx(18, rel=1e-5)
    assert meta_rows(found, alpha=0) == []


def test_the_baseline_learns_the_very_same_refined_answers(tmp_path):
    _, _, found = taught(tmp_path, lambda request: WRONG)
    plain = [r for r in meta_rows(found) if r.key.endswith("#direct")]
    alone = direct_rows(found)
    assert [r.tokens.tolist() for r in alone] == [r.tokens.tolist() for r in plain]
    assert sum(r.weight for r in alone) == sum(r.weight for r in plain) == len(found[0].refined)


def test_chat_dialogues_too_and_no_prefill(tmp_path):
    policy, _, found = taught(tmp_path, lambda request: WRONG, Asking(template="chat"))
    text = decode(policy.tokenizer, meta_rows(found)[0].tokens)
    assert text.startswith(
        f"<|user|>Make 29 from 3 7 8<|assistant|>{WRONG}<|end|><|user|>assess<|assistant|>1 "
    )
    with pytest.raises(SharpenError, match="plain question"):
        taught(tmp_path / "other", lambda request: WRONG, Asking(prefill="3*7"))
