"""The page is written from result files alone, and what they say is what it says."""

import json

import bench
import pytest
import speed_tables
from measuring import OURS


def run(rate, **more):
    base = {"seconds": 1.0, "cpu_seconds": 1.0, "unit": "tokens", "work": {"tokens": rate}, "peak_mib": 512.0}
    return {**base, **more}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_tables, "RESULTS", tmp_path)

    def write(name, **found):
        (tmp_path / f"{name}.json").write_text(json.dumps(bench.head("make bench", 2, 0.1) | found))

    return write


def body(text):
    return [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]


def test_the_page_is_up_to_date(capsys):
    assert speed_tables.main(["--check"]) == 0, capsys.readouterr().out


def test_every_region_of_the_page_is_known_and_every_known_one_is_there():
    import re

    names = re.findall(r"<!-- table:([\w. -]+?) -->", speed_tables.PAGE.read_text())
    assert sorted(names) == sorted(speed_tables.REGIONS)


def test_result_files_parse():
    for path in (speed_tables.HERE / "results").glob("*.json"):
        found = json.loads(path.read_text())
        assert {"command", "date", "threads", "load", "machine"} <= set(found), path


def test_what_was_not_measured_says_how(results):
    for name in speed_tables.REGIONS:
        assert "Not measured yet: run `" in speed_tables.region(name)
    rows = body(speed_tables.region("speed"))
    assert "--only W6" in next(r for r in rows if r[0] == "W6")[1]


def test_a_ratio_that_is_not_reached_is_said_to_be(results):
    repeats = [{OURS: run(a), "fast": run(10.0), "slow": run(10.0)} for a in (30.0, 28.0, 50.0)]
    results("W1", title="rollouts", targets={"fast": 4.0, "slow": 2.5}, settings={}, repeats=repeats)
    fast, slow = (r for r in body(speed_tables.region("speed")) if r[0] == "W1")
    assert fast[2:6] == ["fast", "tokens", "30.0 (28.0 to 50.0)", "10.0 (10.0 to 10.0)"]
    assert fast[6:] == ["3.00 (2.80 to 5.00), n=3", "4", "**no**"]
    assert slow[-2:] == ["2.5", "yes"]


def test_memory_is_a_sides_largest_however_it_was_kept(results):
    repeats = [{OURS: run(1.0, peak_mib=peak), "fast": run(1.0)} for peak in (600.0, 1700.0)]
    results("W1", title="rollouts", targets={}, settings={}, repeats=repeats)
    results("W2", title="grpo", targets={}, settings={}, peaks={OURS: 99.4}, repeats=[{OURS: run(1.0)}])
    rows = body(speed_tables.region("memory"))
    assert rows[2:] == [["W1", OURS, "1,700"], ["W1", "fast", "512"], ["W2", OURS, "99"]]


def test_a_busy_machine_is_told_of(results):
    results("W4", title="SFT", targets={}, settings={}, repeats=[{OURS: run(2.0), "p": run(1.0)}], load=1.5)
    assert "not quiet (load 1.5 a core)" in speed_tables.region("speed")


def test_verifiers_errors_and_disagreements(results):
    def judged(accepted):
        errors = {"accepted": accepted, "refused": 0, "unknown": 1}
        return run(1.0, unit="answers", work={"answers": 50}, errors=errors)

    pair = {OURS: judged(0), "theirs": judged(2)}
    results(
        "W7",
        title="v",
        targets={},
        settings={},
        repeats=[pair, pair],
        disagreements=[["1", "1.0", 1, "1", "?"]],
    )
    text = speed_tables.region("numeric")
    assert ["theirs", "100", "4", "0", "2"] in body(text)
    assert "1 answers are judged differently" in text
    assert "| `1` | `1.0` | yes | right | none |" in text


def test_every_kind_of_table_can_be_written(results):
    part = {"tokens_per_second": 5000.0, "gflops": 60.0, "share": 0.55}
    results("roofline", repeats=[{"ceiling": 110.0, "sampling": part, "learning": part}])
    rows = body(speed_tables.region("roofline"))
    assert [r[-1] for r in rows[2:]] == ["yes", "**no**"]
    parts = {"sample": 0.4, "score": 0.1, "learn": 0.5}
    pair = {OURS: run(100.0, parts=parts), "TRL": run(50.0)}
    results("W2", title="a step", targets={"TRL": 3.0}, settings={}, repeats=[pair])
    # 0.44 seconds of sampling, 0.34 of learning and 0.1
    assert "W2 would be 2.3 times TRL." in speed_tables.region("roofline")
    profile = {"weights": 2.0, "attention": 1.0, "others": 1.0, "python": 1.0}
    run_on = {"all": run(100.0, cpu_seconds=1.5), "one": run(100.0, profile=profile)}
    shares = {"weights": 0.5, "attention": 0.2, "others": 0.2, "python": 0.1}
    repeats = [{OURS: run(100.0), "fast": run(80.0), "slow": run(30.0)}]
    results("W1", title="rollouts", targets={"fast": 2.0, "slow": 4.0}, settings={}, repeats=repeats)
    results("where", where={"W1": {**run_on, "shares": shares}, "W4": {**run_on, "shares": shares}})
    rows = body(speed_tables.region("where"))
    # 100 tokens in 2 seconds of products on one core are 100 a second on two
    assert rows[2] == ["W1", "1.50", "50", "20", "20", "10", "100", "100", "160 (2 x fast)"]
    assert rows[3][-1] == ""
    one = {"on": [1.0, 1.0], "off": [2.0, 3.0], "largest_difference": 0.0, "kept": True}
    others = {
        "packing": {**one, "largest_difference": 1e-6},
        "refill": {**one, "largest_difference": 1.0, "kept": False},
    }
    results("techniques", techniques={"cache": one, **others})
    rows = body(speed_tables.region("techniques"))
    assert rows[2] == ["cache", "2.50 (2.00 to 3.00)", "the same bits"]
    assert [rows[3][-1], rows[4][-1]] == ["within 1e-06", "**differ by 1**"]
    point = {"size": 8, "seconds": 1.0, "tokens": 64, "peak_mib": 512.0}
    results("growth", growth={"sampling/samples": {"points": [point, point], "exponent": 1.02}})
    assert body(speed_tables.region("growth"))[2][:3] == ["sampling", "samples", "8, 8"]
    read = [{"seconds": 1.0, "peak_mib": 100.0, "token_reads": 0}]
    results("million", rollouts=10**6, limits={"replay": 10.0, "open": 0.5}, replay=read, open=read)
    rows = body(speed_tables.region("million"))
    assert [r[-1] for r in rows[2:]] == ["yes", "**no**"]
    results("startup", commands={"sharpen --help": [0.2, 0.25]}, limits={"sharpen --help": 0.3})
    assert body(speed_tables.region("startup"))[2][-1] == "yes"
    ours = run(1.0, seconds=10.0, unit="runs", work={"runs": 1}, ledger={"sample": 6.0, "learn": 2.0})
    script = run(1.0, seconds=20.0, unit="runs", work={"runs": 1}, ledger={"sample": 15.0})
    results("W6", title="run", targets={}, settings={}, repeats=[{OURS: ours, "script": script}])
    rows = body(speed_tables.region("ledger"))
    assert rows[0] == ["", "ours, seconds", "script, seconds", "of ours, %"]
    assert rows[2] == ["sample", "6.0 (6.0 to 6.0)", "15.0 (15.0 to 15.0)", "60.0 (60.0 to 60.0)"]
    assert [row[0] for row in rows[3:]] == ["learn", "start, imports, the rest"]
    assert rows[-1][1:3] == ["2.0 (2.0 to 2.0)", "5.0 (5.0 to 5.0)"]
    parts = run(1.0, parts={"sample": 3.0, "learn": 1.0})
    results("W2", title="grpo", targets={}, settings={}, repeats=[{OURS: parts, "trl": run(1.0)}])
    assert body(speed_tables.region("grpo-parts"))[2] == ["sample", "75.0 (75.0 to 75.0)"]
    flat = {"steps": 500, "mib_a_step": 0.0, "noise": 0.001, "flat": True, "in_use_kib_a_step": 0.6}
    results("soak", **flat, files=[12], constant=True)
    assert "500 steps: memory is flat" in speed_tables.region("soak")
    label = 'generate {"cache": "static"}'
    row = {
        "workload": "W1",
        "peer": "transformers",
        "choice": {"batch": 128},
        "rate": 3800.0,
        "unit": "tokens",
    }
    results("tuning-W1", best={label: {"batch": 128}}, table={label: [row]})
    assert body(speed_tables.region("tuning"))[2][-1] == "taken"
