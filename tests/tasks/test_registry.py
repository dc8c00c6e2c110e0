"""Sources by name."""

import json
import subprocess
import sys

import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.registry import SOURCES, make, names


def test_a_source_by_its_spec():
    assert make("countdown:level=1,seed=5").spec == make("countdown", level=1, seed=5).spec
    assert make("chain:level=1,seed=5", seed=6).spec["seed"] == 6
    source = make("reasoning_gym:leg_counting:min_animals=3,max_animals=3")
    assert source.name == "reasoning_gym:leg_counting"
    assert source.spec["min_animals"] == 3


def test_a_file_by_its_spec(tmp_path):
    path = tmp_path / "a,b=c.jsonl"
    path.write_text("".join(json.dumps({"question": f"q{i}", "gold": i}) + "\n" for i in range(40)))
    source = make(f"jsonl:{path}:prompt=question,answer=gold,max_prompt=3")
    assert source.take("train", 1)[0].prompt.startswith("q")
    same = make(f"jsonl:{path}", columns={"prompt": "question", "answer": "gold"}, max_prompt=3)
    assert same.spec == source.spec
    with pytest.raises(SharpenError, match="at most 1 fit"):
        make(f"jsonl:{path}:prompt=question,answer=gold", max_prompt=1)
    several = make("jsonl", path={"train": path}, columns={"prompt": "question", "answer": "gold"})
    assert len(several.take("train", 40)) == 40


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("cuntdown", "unknown task 'cuntdown': did you mean 'countdown'"),
        ("countdown:levl=2", "unknown parameter of countdown 'levl': did you mean 'level'"),
        ("countdown:2", "'2' is not of the form name=value"),
        ("countdown:level=9", r"level 9 is unknown; levels: \[1, 2, 3, 4\]"),
        ("reasoning_gym", "names no dataset; write reasoning_gym:DATASET"),
        ("reasoning_gym:leg_countin", "did you mean 'leg_counting'"),
        ("reasoning_gym:leg_counting:min_animal=3", "did you mean 'min_animals'"),
        ("jsonl", "jsonl needs a path"),
        ("jsonl:nowhere.jsonl", "no such dataset: nowhere.jsonl"),
        ("jsonl:nowhere.jsonl:promt=q", "unknown parameter of jsonl 'promt': did you mean 'prompt'"),
        ("jsonl:nowhere.jsonl:on_bad_row=skp", "unknown value of on_bad_row 'skp': did you mean 'skip'"),
    ],
)
def test_a_wrong_spec_names_the_nearest(spec, says):
    with pytest.raises(SharpenError, match=says):
        make(spec)


def test_every_source_is_listed_with_a_line():
    listed = names()
    assert [name for name, _, _ in listed] == list(SOURCES)
    assert all(usage.startswith(name) and about and "\n" not in about for name, usage, about in listed)


def test_listing_loads_nothing_heavy():
    code = (
        "import sys; from sharpen.tasks.registry import names; names();"
        "heavy = {'torch', 'transformers', 'reasoning_gym', 'datasets', 'pyarrow'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
