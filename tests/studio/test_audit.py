"""A second verifier over a run's rollouts: what it agrees with, what it does not, what it cannot say."""

import json
from dataclasses import replace

import pytest

from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.studio import audit as audits
from sharpen.tasks.second import opinion
from tests.tiny import finished


@pytest.fixture(scope="module")
def run():
    return finished("online_rft")


def test_the_second_check_agrees_and_the_sample_is_always_the_same(run):
    found = audits.audit(run, 40)
    assert (found["judged"], found["agreed"], found["disagreements"]) == (40, 40, [])
    assert (found["first"], found["second"]) == ("countdown", "second check of countdown")
    assert audits.audit(run, 40) == found
    everything = audits.audit(run, 10**6)
    # 2 rounds of 16 questions x 4 attempts; 3 exams of 12 greedy answers and 8 x 4 attempts
    assert everything["judged"] == 2 * 16 * 4 + 3 * (12 + 8 * 4)


def test_a_disagreement_is_listed_with_both_verdicts(run, monkeypatch, capsys):
    first = opinion("countdown")
    monkeypatch.setattr(audits, "opinion", lambda name: lambda task, text: not first(task, text))
    found = audits.audit(run, 5)
    assert found["agreed"] == 0
    assert [set(d) for d in found["disagreements"]] == [
        {"key", "prompt", "gold", "text", "first", "second"}
    ] * 5
    assert all(d["first"] is not d["second"] for d in found["disagreements"])
    assert main(["audit", str(run), "-n", "5"]) == 1
    assert found["disagreements"][0]["key"] in capsys.readouterr().out
    assert main(["audit", str(run), "-n", "5", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == found


def test_what_the_second_cannot_judge_is_unknown(run):
    found = audits.audit(run, 10, "number")  # a countdown's gold is an expression
    assert (found["judged"], found["unknown"]) == (0, 10)
    with pytest.raises(SharpenError, match="final answers 'numbr': did you mean 'number'"):
        audits.audit(run, 10, "numbr")


def test_questions_that_cannot_be_made_again_are_said(run, monkeypatch):
    real = audits.up_to

    def renamed(source, split, n):
        return [replace(t, id=f"other-{t.id}") for t in real(source, split, n)]

    monkeypatch.setattr(audits, "up_to", renamed)
    with pytest.raises(SharpenError, match="is not among the run's questions"):
        audits.audit(run, 10)


def test_an_evaluation_is_judged_again_too():
    found = audits.audit(finished("evaluate"), 30)
    assert found["judged"] == found["agreed"] > 0


def test_a_verifier_blind_to_a_stated_confidence_is_met_by_one_that_is(run, monkeypatch):
    seen = []
    monkeypatch.setattr(audits, "opinion", lambda name: lambda task, text: bool(seen.append(text)) or True)
    monkeypatch.setattr(audits, "gradable", lambda text: "blind")
    audits.audit(run, 3)
    assert "blind" not in seen
    folder = finished("online_rft", "verifier=stated:source")
    audits.audit(folder, 3)
    assert seen[3:] == ["blind"] * 3


def test_of_a_run_that_plays_the_questions_beside_the_games_are_judged_again():
    found = audits.audit(finished("spiral", "transfer=cases:level=1"), 10**6)
    assert found["first"] == "cases"
    assert found["judged"] == found["agreed"] > 0
    with pytest.raises(SharpenError, match="asks no questions of a task source"):
        audits.audit(finished("spiral"), 10)
