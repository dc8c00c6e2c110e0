"""What is measured of ours alone: the ceiling, growth, a large run, leaks, and the script for GPUs."""

import json

import growth
import million
import numpy as np
import pytest
import roofline
import soak

from sharpen.sample.policy import load_policy


def test_shares_of_the_ceiling():
    import w1_rollouts
    import w4_sft

    given = {
        "smoke": True,
        "sampling": w1_rollouts.W1.job(True, 0, 1),
        "learning": w4_sft.job(True, 0, 1),
    }
    said = roofline.main(given)
    assert said["ceiling"] > 0
    for part in ("sampling", "learning"):
        assert said[part]["share"] == pytest.approx(said[part]["gflops"] / said["ceiling"])
    policy = load_policy(given["sampling"]["model"])
    # a tied head counts, the embedding that it is tied to does not count again
    layers = 2 * (4 * 64 * 64 + 3 * 64 * 96)
    assert roofline.matrices(policy) == layers + 99 * 64


def test_where_the_time_goes():
    import where

    for key, workload in where.WORKLOADS.items():
        if key in ("W1", "W2", "W4"):
            told = where.main({**workload.job(True, 0, 5), "key": key, "profiled": True})
            assert told["profile"]["weights"] > 0
            assert told["work"]["tokens"] > 0
            assert sum(where.shares(told).values()) == pytest.approx(1.0)
    # what profiling slows is small operations and Python, and only their proportion counts
    slowed = {"weights": 4.0, "attention": 1.0, "others": 6.0, "python": 3.0}
    shares = where.shares({"seconds": 8.0, "profile": slowed})
    assert shares == {"weights": 0.5, "attention": 0.125, "others": 0.25, "python": 0.125}


def test_an_exponent_is_a_slope():
    assert growth.exponent([1, 2, 4], [3.0, 6.0, 12.0]) == pytest.approx(1.0)
    assert growth.exponent([1, 2, 4], [1.0, 4.0, 16.0]) == pytest.approx(2.0)


@pytest.mark.parametrize("axis", growth.SIZES)
def test_growth_changes_one_thing(axis):
    small, large = (growth.job(axis, size, True) for size in growth.SMOKE_SIZES[axis][:2])
    assert sum(small[k] != large[k] for k in small) == 1
    counted = growth.main({**large, "kind": "sampling"})["work"]
    n = len(large["prompts"]) * large["samples"]
    assert counted["tokens"] == n * large["max_new_tokens"]  # nothing ended before its limit
    assert growth.seconds_of(growth.main({**small, "kind": "learning"})) > 0


def test_a_large_run_is_written_read_and_replayed_without_its_tokens(tmp_path):
    given = {**million.job(True), "folder": str(tmp_path / "run"), "tasks": 6, "rounds": 2}
    wrote = million.main({**given, "what": "write"})
    assert wrote["rollouts"] == 6 * 2 * million.SAMPLES
    again = million.main({**given, "what": "replay"})
    assert again["selected"] == wrote["selected"] > 0
    assert again["token_reads"] == 0
    assert again["column_reads"] > 0
    assert million.main({**given, "what": "open"})["steps"] == 1 + 2 * 2
    assert million.main({**given, "what": "list"})["runs"] == 1
    assert million.main({**given, "what": "query"})["rounds"] == 2


def test_a_leak_is_told_from_noise():
    def found(a_step, files=0):
        memory = [100.0 + a_step * i + 0.01 * (i % 7) for i in range(200)]
        told = {"rss_mib": memory, "in_use_mib": memory, "files": [9.0 + files * i for i in range(200)]}
        return soak.verdict(told)

    flat, leak = found(0.0), found(0.001, files=1)
    assert flat["flat"]
    assert flat["constant"]
    assert not leak["flat"]
    assert not leak["constant"]
    assert leak["in_use_kib_a_step"] == pytest.approx(1.024, rel=0.02)


def test_the_noise_of_a_slope_covers_readings_that_follow_each_other():
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        drift = [0.0]
        for step in draw.normal(size=499):
            drift.append(0.8 * drift[-1] + step)  # as the readings do
        per_step, noise = soak.slope(drift)
        covered += abs(per_step) <= noise
    assert covered >= 180  # 184; with the error of single readings 96


def test_the_soak_reads_memory_and_files_after_every_step():
    told = soak.readings(3, smoke=True)
    assert len(told["rss_mib"]) == len(told["files"]) == 3
    assert len(told["in_use_mib"]) in (0, 3)  # not every C library tells
    assert all(v > 10 for v in told["rss_mib"])


def test_on_a_card_ours_is_said_to_be_missing_and_on_a_cpu_it_is_there(capsys):
    import gpu
    from measuring import OURS

    assert OURS in [s.name for s in gpu.sides(gpu.WORKLOADS["W1"], "cpu")]
    found = gpu.sides(gpu.WORKLOADS["W1"], "cuda")
    assert [s.name for s in found] == ["transformers", "transformers, static cache"]
    assert all(s.settings["batch"] == 256 for s in found)
    padded = gpu.sides(gpu.WORKLOADS["W4"], "cuda")[0]
    assert padded.settings == {"packing": False, "rows": 20, "order": "group_by_length"}
    assert "not yet" in capsys.readouterr().out


def test_the_share_of_a_cards_bandwidth(tmp_path):
    import gpu

    (tmp_path / "model.safetensors").write_bytes(b"0" * 4_000_000)
    run = {"ours": {"seconds": 1.0, "unit": "tokens", "work": {"tokens": 500.0, "completions": 10}}}
    # 2 MB of weights in 16 bits, 1 GB/s: 500 steps a second, 10 rows a step
    assert gpu.limit(str(tmp_path), run, 1.0, "bfloat16") == {"ours": pytest.approx(0.1)}
    assert json.dumps(gpu.TARGETS)
