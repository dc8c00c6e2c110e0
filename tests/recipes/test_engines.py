"""A recipe with another engine is the same recipe: settings choose it, and nothing else changes."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.recipes.execute import execute
from sharpen.runs.tape import TAPE
from sharpen.sample.policy import load_policy
from tests.sample.completions_server import serving
from tests.tiny import finished, rounds, settings, steps

# each request is a thread of the server's: few and short ones
FEW = ("rounds=1", "pool=8", "queries=4", "samples=2", "steps=3", "batch_rows=4", "held_out=4",
       "held_out_sampled=2", "held_out_samples=2", "max_new_tokens=24", "tasks=order:level=1")  # fmt: skip


@pytest.fixture
def server():
    with serving(load_policy("nano")) as server:
        yield server


def served(server, *changes):
    api = (f"api.url={server.url}", "api.model=base", "api.weights=lora", "api.rounding=0.0001")
    return settings("online_rft", "engine=api", "api.concurrency=4", *api, *FEW, *changes)


def test_a_run_with_a_server_learns_and_its_numbers_are_the_policys(server, tmp_path):
    execute("online_rft", served(server), tmp_path / "run")
    gaps = [s["result"]["logprob_gap"] for s in steps(tmp_path / "run", "sample").values()]
    assert len(gaps) == 5  # two exams of two steps, one round
    assert max(gaps) < 1e-5
    assert {body["model"] for body in server.bodies} > {"base"}  # later ones name the adapter
    native = finished("online_rft", *FEW)
    assert len(rounds(tmp_path / "run", "held_out")) == len(rounds(native, "held_out"))
    first = [next(iter(steps(f, "sample").values())) for f in (tmp_path / "run", native)]
    assert first[0]["inputs"] != first[1]["inputs"]  # which engine sampled is part of a step
    assert {**first[0]["inputs"], "engine": ""} == {**first[1]["inputs"], "engine": ""}


def test_a_stopped_run_asks_only_for_what_it_has_not_been_told(server, tmp_path):
    with pytest.raises(SharpenError, match="max_requests"):
        execute("online_rft", served(server, "api.max_requests=14"), tmp_path / "run")
    lines = (tmp_path / "run" / TAPE).read_text().splitlines()
    assert sum("weights: " not in line for line in lines) == len(server.bodies)
    execute("online_rft", served(server), tmp_path / "run", resume=True)
    drawn = sum(s["result"]["samples"] for s in steps(tmp_path / "run", "sample").values())
    assert len(server.bodies) == drawn


def test_weights_that_a_server_says_it_took_and_did_not_stop_the_run(server, tmp_path):
    server.drops = True
    with pytest.raises(SharpenError, match=r"does not (answer with the weights of|sample from) policy"):
        execute("online_rft", served(server), tmp_path / "run")
    assert list(steps(tmp_path / "run", "learn")) == ["round-0001/learn:0"]


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed")
def test_an_engine_that_is_not_installed_is_named_before_anything_is_written(tmp_path, capsys):
    argv = ["run", "online_rft", "--tiny", "--plain", "--out", str(tmp_path / "run"), "engine=vllm"]
    assert main(argv) == 2
    assert "engine 'vllm'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
