"""Our side of every workload runs at a tiny size, does what it counts, and depends on its job alone."""

import json
from dataclasses import replace
from math import gcd

import bench
import inputs
import latex
import numerals
import numpy as np
import pytest
import w1_rollouts
import w2_grpo
import w3_signals
import w4_sft
import w5_dpo
import w6_run
import w7_verifiers
import w8_gemma_shape
from measuring import HERE, OURS, rate, same_work

MAINS = {
    "W1": w1_rollouts.main,
    "W1b": w1_rollouts.main,
    "W2": w2_grpo.main,
    "W3": w3_signals.main,
    "W3v": w3_signals.main,
    "W4": w4_sft.main,
    "W5": w5_dpo.main,
    "W7": w7_verifiers.main,
    "W7l": w7_verifiers.main,
    "W8": w1_rollouts.main,
}


def job(key, repeat=0, **more):
    workload = bench.WORKLOADS[key]
    # as the driver hands it over: through JSON
    return json.loads(json.dumps({**workload.job(True, repeat, 5), **workload.ours.settings, **more}))


@pytest.mark.parametrize("key", MAINS)
def test_our_side_runs_and_counts_what_it_did(key):
    given = job(key)
    said = json.loads(json.dumps(MAINS[key](given)))
    assert rate(said) > 0
    assert said["cpu_seconds"] >= 0
    workload = bench.WORKLOADS[key]
    assert set(workload.same) <= set(said["work"])
    again = MAINS[key](given)
    assert again["work"] == said["work"]
    same_work({OURS: said, "again": again}, list(said["work"]))


def test_our_side_of_the_whole_run():
    said = w6_run.main(job("W6"))
    assert said["work"]["runs"] == 1
    assert said["work"]["answers"] > said["work"]["updates"] > 0
    assert {"sample", "score", "learn", "sample (held out)"} <= set(said["ledger"])
    assert sum(said["ledger"].values()) < said["seconds"]


def test_every_script_that_a_workload_names_is_there():
    for workload in bench.WORKLOADS.values():
        names = [side.name for side in workload.sides]
        assert names[0] == OURS
        assert len(set(names)) == len(names)
        assert set(workload.targets) <= set(names[1:])
        for side in workload.sides:
            assert side.script.exists()
            assert side.script.parent in (HERE, HERE / "peers")


def test_full_size_is_what_the_page_says():
    w1 = w1_rollouts.W1.job
    shape = inputs.SMALL
    parameters = shape["num_hidden_layers"] * (4 * 256**2 + 3 * 256 * 672 + 2 * 256) + 256 + 99 * 256
    assert parameters == pytest.approx(4.7e6, rel=0.01)
    assert inputs.VOCABULARY == 99
    lengths = np.array(inputs.lengths(2_000))
    assert np.median(lengths) == pytest.approx(60, rel=0.1)
    assert np.quantile(lengths, 0.95) == pytest.approx(300, rel=0.15)
    assert w1 is not None
    prompts = inputs.prompts(32, 24, 40)
    assert len(prompts) == 32
    assert all(24 <= len(p) <= 40 for p in prompts)


def test_repeats_go_through_everything_once():
    items = list(range(2_000))
    parts = [inputs.part(items, k, 5) for k in range(5)]
    assert sorted(i for part in parts for i in part) == items


def test_texts_survive_the_tokenizer():
    words = inputs.tokenizer()
    for ids in [*inputs.prompts(8, 24, 40), *inputs.examples(40)]:
        assert words(words.decode(ids))["input_ids"] == ids
        assert inputs.EOS not in ids


def test_pairs_end_and_fit():
    for pair in inputs.pairs(200):
        assert pair["chosen"][-1] == pair["rejected"][-1] == inputs.EOS
        assert 24 <= len(pair["prompt"]) <= 40
        assert len(pair["prompt"]) + max(len(pair["chosen"]), len(pair["rejected"])) <= 1024


def test_a_group_without_anything_to_compare_is_learnt_from_only_where_asked():
    given = job("W2", samples=6)
    everything = w2_grpo.main(given)["work"]["rows"]
    live = w2_grpo.main({**given, "drop_dead": True})["work"]["rows"]
    assert everything == len(given["prompts"]) * given["samples"]
    assert 0 < live < everything


def test_half_of_the_latex_answers_are_wrong_and_every_kind_is_there():
    drawn = latex.cases(26 * 4)
    assert {c.category for c in drawn} == set(latex.KINDS)
    assert sum(c.equal for c in drawn) == len(drawn) // 2
    assert drawn == latex.cases(26 * 4)
    assert gcd(2, 4) == 2
    assert numerals.cases(10)


def test_verifiers_are_right_on_a_sample_and_disagreements_name_them():
    given = job("W7l", repeat=1)
    said = w7_verifiers.main(given)
    assert said["errors"] == {"accepted": 0, "refused": 0, "unknown": 0}
    flipped = said["verdicts"].translate(str.maketrans("01", "10"))
    differ = w7_verifiers.disagreements(given, said["verdicts"], flipped)
    assert len(differ) == said["work"]["answers"]
    assert w7_verifiers.disagreements(given, said["verdicts"], said["verdicts"]) == []


def test_gemma_has_the_shape_of_the_270m_model():
    shape = w8_gemma_shape.job(True, 0, 5)
    assert inputs.GEMMA["hidden_size"] * w8_gemma_shape.VOCABULARY == pytest.approx(168e6, rel=0.01)
    assert shape["model"].endswith("smoke-gemma")


def test_the_driver_measures_tells_and_keeps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "TUNING", tmp_path / "tuning.json")
    workload = bench.WORKLOADS["W3"]
    monkeypatch.setattr(
        bench, "once", lambda side, given, threads: w3_signals.main({**given, **side.settings})
    )
    monkeypatch.setattr(bench, "measured", _with_peak(bench.measured))
    found = bench.measured(workload, smoke=True, repeats=2, threads=1)
    bench.tell(workload, found)
    told = capsys.readouterr().out
    assert "without signals" in told
    assert "ours/theirs" in told
    bench.kept("W3", bench.head("make bench", 1, 0.1) | found, smoke=True)
    assert not list(tmp_path.iterdir())
    bench.kept("W3", bench.head("make bench", 1, 0.1) | found, smoke=False)
    assert len(json.loads((tmp_path / "W3.json").read_text())["repeats"]) == 2


def _with_peak(measured):
    def wrapped(*args, **kwargs):
        told = bench.once
        bench.once = lambda side, given, threads: {**told(side, given, threads), "peak_mib": 1.0}
        try:
            return measured(*args, **kwargs)
        finally:
            bench.once = told

    return wrapped


def test_the_fastest_choice_is_kept_and_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "TUNING", tmp_path / "tuning.json")
    workload = bench.WORKLOADS["W1"]
    speed = {256: 3.0, 128: 5.0, 64: 1.0}

    def once(side, given, threads):
        return {"seconds": 1.0, "unit": "tokens", "work": {"tokens": speed[side.settings["batch"]]}}

    monkeypatch.setattr(bench, "once", once)
    [first] = [p for p in workload.peers if p.name == "transformers"]
    found = bench.tune([replace(workload, peers=(first,))], smoke=True, threads=1)
    assert bench.tuned(first).settings["batch"] == 256  # never tuned: the first choice
    (tmp_path / "tuning.json").write_text(json.dumps(found))
    assert bench.tuned(first).settings == {"cache": "default", "batch": 128}


def test_unknown_names_and_a_busy_machine_are_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "W1,W99"])
    assert ended.value.code == 2
    assert "W99" in capsys.readouterr().err
    monkeypatch.setattr(bench, "load", lambda: 3.0)
    assert bench.main(["--only", "W1"]) == 2
    assert "busy" in capsys.readouterr().err
