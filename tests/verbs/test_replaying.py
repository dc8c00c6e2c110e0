"""``sharpen replay``: the bytes of a stored attempt again, and what it says where that cannot be."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sharpen.cli import main
from sharpen.errors import SharpenError
from sharpen.runs.manifest import read_manifest
from sharpen.runs.store import unit_files
from sharpen.studio.episodes import light, sampled_steps
from sharpen.verbs.replaying import replay
from tests.tiny import finished


def keys(folder, step):
    found = next(s for s in sampled_steps(read_manifest(folder)) if s.key == step)
    return [row["key"] for row in light(found, 0, 1000)]


@pytest.mark.parametrize("step", ["held_out/sample:0", "held_out/sample:1", "round-0001/balance/sample:3",
                                  "round-0002/sample:0"])  # fmt: skip
def test_attempts_of_every_kind_of_step(step):
    folder = finished("b_star")
    for key in keys(folder, step)[::17]:
        found = replay(folder, key)
        assert found["equal"], found["difference"]
        assert found["tokens"] > 0


def test_a_turn_of_a_game_and_a_policy_that_was_given_up():
    folder = finished("spiral")
    for key in keys(folder, "round-0001/play:0")[:3]:
        assert replay(folder, key)["equal"]
    with pytest.raises(SharpenError, match="was given up"):
        replay(folder, keys(folder, "round-0002/play:0")[0])


def test_a_call_of_a_strategy():
    folder = finished("evaluate")
    called = [k for k in keys(folder, "greedy/solve:0") if "answer" not in k]
    assert replay(folder, called[0])["equal"]
    with pytest.raises(SharpenError, match="nothing in"):
        replay(folder, keys(folder, "greedy/solve:0")[0])


@pytest.mark.parametrize(
    ("column", "word"), [("tokens", "token"), ("logprob", "logprobs"), ("span_finish", "ended")]
)
def test_what_was_altered_is_found(tmp_path, column, word, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished("b_star"), folder)
    step = "round-0001/sample:0"
    path = unit_files(folder)[step][0]
    rows = pq.read_table(path)
    values = rows[column].to_pylist()
    told = values[0][-1]
    values[0][-1] = told + 1 if column == "tokens" else {"logprob": -0.5, "span_finish": "length"}[column]
    at = rows.schema.get_field_index(column)
    path.unlink()
    pq.write_table(rows.set_column(at, column, pa.array(values, rows.schema.field(column).type)), path)
    key = keys(folder, step)[0]
    assert main(["replay", str(folder), key, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["equal"]
    assert word in found["difference"]


def test_bad_input_is_one_line(capsys):
    folder = str(finished("b_star"))
    for key, word in (
        ("round-0001/sampl:0/x/0", "did you mean 'round-0001/sample:0'?"),
        ("round-0001/sample:0/gone/0", "no episode"),
        ("round-0001/learn:0/x", "samples nothing"),
    ):
        assert main(["replay", folder, key]) == 2
        error = capsys.readouterr().err
        assert word in error
        assert error.count("\n") == 1
