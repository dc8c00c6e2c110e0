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


class Here:
    """A side that works in this process, with or without signals as its job says."""

    def __init__(self, side, *, threads):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, given):
        return w3_signals.main(given)

    def close(self):
        return 512.0


def test_the_driver_measures_tells_and_keeps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "Resident", Here)
    found = bench.measured(bench.WORKLOADS["W3"], smoke=True, repeats=2, threads=1)
    assert found["peaks"] == {OURS: 512.0}
    runs = found["repeats"][0]
    assert runs[OURS]["work"]["checksum"] == runs["without signals"]["work"]["checksum"]
    bench.tell(bench.WORKLOADS["W3"], found)
    told = capsys.readouterr().out
    assert "without signals" in told
    assert "ours/theirs" in told
    bench.kept("W3", bench.head("make bench", 1, 0.1) | found, smoke=True)
    assert not list(tmp_path.iterdir())
    bench.kept("W3", bench.head("make bench", 1, 0.1) | found, smoke=False)
    assert len(json.loads((tmp_path / "W3.json").read_text())["repeats"]) == 2


def test_each_side_has_one_process_for_all_repeats_or_a_new_one_for_each(monkeypatch):
    made = []

    def once(side, given, *, threads):
        made.append(side.name)
        return {"seconds": 1.0, "unit": "runs", "work": {"runs": 1}, "peak_mib": float(len(made))}

    def resident(side, *, threads):
        made.append(side.name)
        return Here(side, threads=threads)

    monkeypatch.setattr(bench, "once", once)
    monkeypatch.setattr(bench, "Resident", resident)
    found = bench.measured(bench.WORKLOADS["W6"], smoke=True, repeats=2, threads=1)
    assert made == [OURS, "one plain script", "one plain script", OURS]
    assert found["peaks"] == {OURS: 4.0, "one plain script": 3.0}
    assert "peak_mib" not in found["repeats"][0][OURS]
    made.clear()
    w3 = bench.WORKLOADS["W3"]
    bench.measured(replace(w3, together=False), smoke=True, repeats=2, threads=1)
    assert sorted(made) == sorted(s.name for s in w3.sides)
    made.clear()
    bench.measured(w3, smoke=True, repeats=2, threads=1)
    assert made == [OURS]


def test_sides_that_are_timed_from_their_start_get_new_processes():
    for workload in bench.WORKLOADS.values():
        timed = any("since_start()" in side.script.read_text() for side in workload.sides)
        assert workload.fresh == timed


def test_the_fastest_choice_is_kept_and_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    workload = bench.WORKLOADS["W1"]
    speed = {256: 3.0, 128: 5.0, 64: 1.0}

    def once(side, given, threads):
        return {"seconds": 1.0, "unit": "tokens", "work": {"tokens": speed[side.settings["batch"]]}}

    monkeypatch.setattr(bench, "once", once)
    [first] = [p for p in workload.peers if p.name == "transformers"]
    known = set()
    found = bench.tune(replace(workload, peers=(first,)), known, smoke=True, threads=1)
    assert bench.tuned(first).settings["batch"] == 256  # never tuned: the first choice
    bench.kept("tuning-W1", found, smoke=False)
    assert bench.tuned(first).settings == {"cache": "default", "batch": 128}
    # W1b has the same peer, whose choices are known by now
    again = bench.tune(replace(bench.WORKLOADS["W1b"], peers=(first,)), known, smoke=True, threads=1)
    assert again == {"best": {}, "table": {}}


def test_the_cache_too_is_a_choice_of_w8s_peer(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    [peer] = [p for p in bench.WORKLOADS["W8"].peers if p.name == "transformers"]
    assert bench.tuned(peer).settings == {"cache": "static", "batch": 64}
    best = {"cache": "default", "batch": 32}
    bench.kept("tuning-W8", {"best": {bench.label(peer): best}}, smoke=False)
    assert bench.tuned(peer).settings == best
    # W1's choices, of a script that it shares, are its own
    assert bench.tuned(bench.WORKLOADS["W1"].peers[0]).settings == {"cache": "default", "batch": 256}


def test_a_long_workload_is_tuned_on_a_part_of_it(monkeypatch):
    given = []

    def once(side, job, threads):
        given.append(job)
        return {"seconds": 1.0, "unit": "runs", "work": {"runs": 1}}

    monkeypatch.setattr(bench, "once", once)
    bench.tune(bench.WORKLOADS["W6"], set(), smoke=True, threads=1)
    assert len(given) == len(w6_run.CHOICES)
    assert {job["config"]["rounds"] for job in given} == {1}


def test_unknown_names_and_a_busy_machine_are_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "W1,W99"])
    assert ended.value.code == 2
    assert "W99" in capsys.readouterr().err
    monkeypatch.setattr(bench, "load", lambda: 3.0)
    assert bench.main(["--only", "W1"]) == 2
    assert "busy" in capsys.readouterr().err
