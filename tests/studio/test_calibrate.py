"""Calibration of a run: what is counted, what is left out, what is undefined, and how it is shown."""

import builtins
import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.measure.calibration import ece
from sharpen.measure.separation import auroc
from sharpen.sample.episode import Finish
from sharpen.score.verdict import Status
from sharpen.studio.calibrate import calibrate_run
from sharpen.studio.calibration_figure import INK, figure
from sharpen.studio.calibration_table import bar
from sharpen.studio.confidences import NAMES, judged_steps
from tests.studio.judged import judged_run
from tests.tiny import finished


def answer(x, confidence):
    return f"<answer>{x}</answer>\n<confidence>{confidence}</confidence>"


# 12 answers to 4 questions: of the 8 that count, 5 are right
SAID = (
    ("a", answer(1, "90%"), True),
    ("a", answer(1, "80%"), True),
    ("a", answer(2, "90%"), False),
    ("b", answer(3, "60%"), True),
    ("b", answer(4, "60%"), False),
    ("b", answer(5, "20%"), False),
    ("c", answer(6, "100%"), True),
    ("c", answer(6, "0.7"), True),
    ("c", answer(6, "high"), True),
    ("d", "I don't know.", False),
    ("d", answer(7, "90%"), Finish.LENGTH),
    ("d", answer(8, "90%"), Status.CRASH),
)
C, Y = [0.9, 0.8, 0.9, 0.6, 0.6, 0.2, 1.0, 0.7], [1, 1, 0, 1, 0, 0, 1, 1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    steps = {"first": SAID[:3], "asked": SAID, "must": [("a", "1", True), ("b", "1", True), ("c", "1", True),
             ("d", "1", False)]}  # fmt: skip
    return judged_run(tmp_path_factory.mktemp("calibrate") / "by-hand", steps)


@pytest.fixture(scope="module")
def found(run):
    return calibrate_run(run, step="asked/sample:0", forced="must/score:0")


def signal(found, name):
    return {s["name"]: s for s in found["signals"]}[name]


def test_what_is_counted_and_what_is_left_out(found):
    assert (found["episodes"], found["questions"], found["unknown"], found["seeds"]) == (12, 4, 1, 1)
    assert found["truncated"] == pytest.approx(1 / 12)
    assert found["abstention"]["declined"] == 1
    assert found["abstention"]["rate"] == pytest.approx(1 / 11)  # the one that nobody could judge is left out
    assert found["abstention"]["precision"] == 1  # d is wrong where it must be answered
    said = signal(found, "stated")
    assert (said["n"], said["invalid"]) == (8, 2)
    assert said["problems"] == {"truncated": 1, "not a number": 1}
    assert said["about"] == {"read as probability": 1}
    assert "2 of 10 (20.0 %) are invalid and left out: truncated 1, not a number 1" in said["warning"]


def test_the_measures_are_those_of_the_valid_items(found):
    measures = signal(found, "stated")["measures"]
    assert measures["accuracy"][0] == pytest.approx(5 / 8)
    assert measures["ece"][0] == pytest.approx(ece(C, Y))
    assert measures["auroc"][0] == pytest.approx(auroc(C, Y))
    assert measures["overconfidence"][0] == pytest.approx(sum(C) / 8 - 5 / 8)
    assert measures["coverage_at_0.1"][0] == pytest.approx(1 / 8)
    low, high = measures["auroc"][1:]
    assert low <= measures["auroc"][0] <= high
    # the engine's signals were made to tell right from wrong, and are no probabilities
    for name in ("self-certainty", "log-probability", "entropy"):
        assert signal(found, name)["measures"]["auroc"][0] == 1
        assert "ece" not in signal(found, name)["measures"]
        assert signal(found, name)["n"] == 9  # what was cut has no confidence of any kind


def test_votes_count_the_whole_group(found):
    votes = signal(found, "vote share")
    # a: 2/3 2/3 1/3, b: 1/3 each, c: 1 each; d: cut, not judged, declined
    assert votes["n"] == 9
    assert votes["measures"]["confidence"][0] == pytest.approx((2 + 2 + 1 + 3 + 9) / 27)
    assert votes["problems"] == {"truncated": 1}


def test_a_changed_abstention_changes_no_calibration(tmp_path, found):
    said = [(q, "I do not know" if q == "d" and x != answer(8, "90%") else x, right) for q, x, right in SAID]
    other = calibrate_run(judged_run(tmp_path / "r", {"asked": said}))
    assert signal(other, "stated")["measures"] == signal(found, "stated")["measures"]
    assert other["abstention"]["precision"] is None


def test_steps(run):
    assert judged_steps(run) == {
        f"{scope}/sample:0": f"{scope}/score:0" for scope in ("first", "asked", "must")
    }
    assert calibrate_run(run)["step"] == "must/sample:0"  # the last
    assert calibrate_run(run, step="first/score:0")["step"] == "first/sample:0"
    with pytest.raises(
        SharpenError, match="unknown judged step 'aksed/sample:0': did you mean 'asked/sample:0'"
    ):
        calibrate_run(run, step="aksed/sample:0")
    with pytest.raises(SharpenError, match="unknown signal 'states': did you mean 'stated'"):
        calibrate_run(run, signals=["states"])
    with pytest.raises(SharpenError, match="does not ask question 'b'"):
        calibrate_run(run, step="asked/sample:0", forced="first/sample:0")


def test_what_a_run_lacks_is_told(tmp_path):
    said = [("a", "Answer: 1", True), ("b", "Answer: 2", True)]
    found = calibrate_run(judged_run(tmp_path / "r", {"x": said}, told=False))
    assert found["signals"] == []
    assert found["absent"]["stated"] == "no reply states a confidence"
    assert found["absent"]["vote share"] == "one attempt a question"
    assert "told no certainty" in found["absent"]["self-certainty"]
    assert set(found["absent"]) == set(NAMES)
    assert b"<svg" in figure(found)


def test_undefined_is_told_with_its_reason_and_is_no_number(tmp_path, capsys):
    run = judged_run(tmp_path / "r", {"x": [("a", answer(1, "90%"), True), ("b", answer(1, "70%"), True)]})
    stated = signal(calibrate_run(run), "stated")
    assert stated["measures"]["auroc"] == [None, None, None]
    assert stated["undefined"]["auroc"] == "every answer is right"
    assert stated["undefined"]["within"] == "no question has right and wrong answers"
    assert stated["measures"]["auprc_right"][0] == 1
    assert main(["calibrate", str(run), "--signal", "stated"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"AUROC +–", out)
    assert "stated: AUROC, AUPRC-N (wrong) –: every answer is right" in out
    cut = judged_run(tmp_path / "s", {"x": [("a", answer(1, "90%"), Finish.LENGTH)]})
    stated = signal(calibrate_run(cut), "stated")
    assert (stated["n"], stated["invalid_share"]) == (0, 1)
    assert all(values[0] is None for values in stated["measures"].values())
    assert set(stated["undefined"].values()) <= {"no valid item", "no question has right and wrong answers"}
    assert main(["calibrate", str(cut)]) == 0
    assert b"<svg" in figure(calibrate_run(cut))


def test_seeds_are_pooled_by_question(tmp_path, run, found):
    both = tmp_path / "both"
    for seed in (0, 1):
        judged_run(both / f"seed-{seed}", {"asked": SAID}, seed=seed)
    (both / "seeds.json").write_text('{"recipe": "by_hand", "seeds": [0, 1]}')
    pooled = calibrate_run(both)
    assert (pooled["seeds"], pooled["episodes"], pooled["questions"]) == (2, 24, 4)
    # the same answers twice say no more than once: a question's items stay together
    one, two = (signal(f, "stated")["measures"]["auroc"] for f in (found, pooled))
    assert two == pytest.approx(one)
    assert signal(pooled, "vote share")["measures"]["confidence"][0] == pytest.approx(17 / 27)
    (both / "seeds.json").write_text('{"recipe": "by_hand", "seeds": [0, 1, 2]}')
    with pytest.raises(SharpenError, match="not all seeds have begun"):
        calibrate_run(both)


def test_mode(tmp_path):
    run = judged_run(tmp_path / "r", {"x": [("a", answer(1, "1"), True), ("b", answer(1, "0.5"), False)]})
    for mode, mean in (("percent", (0.01 + 0.5) / 2), ("probability", 0.75)):
        stated = signal(calibrate_run(run, mode=mode), "stated")
        assert stated["measures"]["confidence"][0] == pytest.approx(mean)


def test_the_verb(run, found, tmp_path, capsys):
    command = ["calibrate", str(run), "--step", "asked/sample:0", "--forced", "must/sample:0"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps({**found, "forced": "must/sample:0"}))
    path = tmp_path / "new" / "c.svg"
    assert main([*command, "--figure", str(path)]) == 0
    out = capsys.readouterr().out
    assert "12 to 4 questions" in out
    assert "wrong when forced  100.0 %" in out
    assert "are invalid and left out" in out
    assert "self-certainty, log-probability, entropy: no probability" in out
    assert str(path) in out
    assert "\x1b" not in out
    assert path.read_bytes() == figure(found)
    for wrong, said in (
        (["--figure", "c.png"], "only .svg"),
        (["--mode", "percents"], "did you mean 'percent'"),
        (["--figure", "/dev/null/c.svg"], "cannot write"),
    ):
        assert main([*command, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_a_figure_is_the_same_bytes_and_has_no_ground(found):
    drawn = figure(found)
    assert drawn == figure(found)
    ElementTree.fromstring(drawn)
    text = drawn.decode()
    assert "<dc:date" not in text
    assert INK in text
    assert not re.search(r"fill: #(fff|ffffff|000000)", text)


def test_contrast_on_white_and_on_black():
    level = int(INK[1:3], 16) / 255
    light = ((level + 0.055) / 1.055) ** 2.4
    assert (1 + 0.05) / (light + 0.05) >= 4.5
    assert (light + 0.05) / 0.05 >= 4.5


def test_without_matplotlib(run, capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["calibrate", str(run), "--figure", "c.svg"]) == 2
    assert "pip install 'sharpen[figures]'" in capsys.readouterr().err


def test_bars():
    assert (bar(0), bar(1, width=4), bar(0.5, width=4)) == ("", "████", "██")
    assert bar(0.5, 0.0, width=4) == "|█"
    assert bar(0.25, 1.0, width=4) == "█  |"


def test_a_real_run():
    found = calibrate_run(finished("online_rft"))
    assert found["episodes"] == 8 * 4
    assert set(found["absent"]) == {"stated", "strategy"}
    assert [s["name"] for s in found["signals"]] == [n for n in NAMES if n not in found["absent"]]


def test_a_strategys_own_confidence(tmp_path, capsys):
    out = str(tmp_path / "eval")
    assert main(["eval", "nano", "--tasks", "order:level=1", "--strategy", "self_consistency", "-n", "4",
                 "--out", out, "--plain"]) == 0  # fmt: skip
    found = calibrate_run(tmp_path / "eval")
    assert found["step"] == "self_consistency/weigh:0"
    assert (found["episodes"], found["questions"]) == (4, 4)
    assert [s["name"] for s in found["signals"]] == ["strategy"]
    assert found["absent"]["self-certainty"] == "no token was stored with the answers"
    assert found["absent"]["vote share"] == "one attempt a question"
    (weighed,) = [json.loads(line) for line in (tmp_path / "eval/manifest.jsonl").read_text().splitlines()
                  if '"self_consistency/weigh:0"' in line]  # fmt: skip
    assert weighed["step"] == found["step"]


def test_it_reads_without_torch(run):
    code = (
        "import sys\nfrom sharpen.cli import main\n"
        f"main(['calibrate', {str(run)!r}])\nprint('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "False"
