"""Files as task sources: every row is kept, or named and counted."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sharpen.errors import SharpenError
from sharpen.tasks.check import check_source
from sharpen.tasks.dataset import Dataset, Limits
from sharpen.tasks.splits import SPLITS, split_of
from sharpen.tasks.task import Checked

SKIP = Limits(on_bad_row="skip")


def rows(n, start=0):
    return [{"prompt": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(start, start + n)]


def jsonl(path, items):
    path.write_bytes(b"".join((i if isinstance(i, bytes) else json.dumps(i).encode()) + b"\n" for i in items))
    return path


def every(source):
    return [t for s in SPLITS if source.ledger.kept[s] for t in source.take(s, source.ledger.kept[s])]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "hf"])
def test_the_same_rows_from_every_kind_of_file(tmp_path, kind):
    data = [
        {
            "question": f"q{i}",
            "meta": {"gold": i},
            "why": f"since {i}",
            "fold": "test" if i % 4 == 0 else "train",
        }
        for i in range(12)
    ]
    path = tmp_path / "data"
    if kind == "jsonl":
        jsonl(path, data)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(data), path)
    else:
        datasets = pytest.importorskip("datasets")
        datasets.Dataset.from_list(data).save_to_disk(path)
    columns = {
        "prompt": "question",
        "answer": "meta.gold",
        "split": "fold",
        "solution": "why",
        "extra": "meta",
    }
    source = Dataset(kind, path, columns=columns)
    assert [t.answer for t in source.take("test", 3)] == ["0", "4", "8"]
    task = source.take("train", 1)[0]
    assert (task.id, task.prompt, task.solution) == ("data-2", "q1", "since 1")
    assert task.data["extra"] == {"gold": 1}
    assert source.ledger.kept == {"test": 3, "train": 9}
    assert source.ledger.adds_up
    assert source.verify(task, "<answer> 1 </answer>") == Checked(True)
    assert str(tmp_path) not in json.dumps(source.spec)


def test_named_splits_of_a_hugging_face_folder(tmp_path):
    datasets = pytest.importorskip("datasets")
    parts = {"train": rows(5), "validation": rows(2, 50)}
    datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in parts.items()}).save_to_disk(
        tmp_path / "d"
    )
    source = Dataset("hf", tmp_path / "d")
    assert source.ledger.kept == {"train": 5, "dev": 2}
    with pytest.raises(SharpenError, match="not a folder written by save_to_disk"):
        Dataset("hf", tmp_path)


def test_without_splits_the_canonical_question_decides(tmp_path):
    source = Dataset("jsonl", jsonl(tmp_path / "a.jsonl", rows(200)))
    for split in SPLITS:
        tasks = source.take(split, source.ledger.kept[split])
        assert {split_of(source.canonical(t)) for t in tasks} == {split}
    again = Dataset("jsonl", jsonl(tmp_path / "b.jsonl", list(reversed(rows(200)))))
    for split in SPLITS:
        questions = {t.prompt for t in source.take(split, source.ledger.kept[split])}
        assert questions == {t.prompt for t in again.take(split, again.ledger.kept[split])}
    report = check_source(source, again=Dataset("jsonl", tmp_path / "a.jsonl"), n=8)
    assert report.ok, str(report)


BAD = [
    (b'{"prompt": "p"', "not JSON"),
    (b"[1, 2]", "not JSON"),
    (b'{"prompt": "p", "answer": NaN}', "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b'{"prompt": "caf\xe9", "answer": "1"}', "not UTF-8"),
    (b'{"prompt": "\\ud800", "answer": "1"}', "not UTF-8"),
    ({"prompt": "p", "anwser": "1"}, "missing field"),
    ({"prompt": None, "answer": "1"}, "missing field"),
    ({"prompt": "  ", "answer": "1"}, "missing field"),
    ({"prompt": "p", "answer": ""}, "missing field"),
    ({"prompt": 7, "answer": "1"}, "wrong type"),
    ({"prompt": "p", "answer": ["1"]}, "wrong type"),
    ({"prompt": "p", "answer": True}, "wrong type"),
    ({"prompt": ["p"], "answer": "1"}, "wrong type"),
    ({"prompt": [{"role": "robot", "content": "p"}], "answer": "1"}, "wrong type"),
    ({"prompt": [{"role": "system", "content": "p"}], "answer": "1"}, "missing field"),
    ({"prompt": "p" * 101, "answer": "1"}, "too long"),
    ({"prompt": "What is 0 + 1?", "answer": "2"}, "conflict"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=[f"{i}-{r}" for i, (_, r) in enumerate(BAD)])
def test_a_bad_row_is_named_or_counted(tmp_path, bad, reason):
    path = jsonl(tmp_path / "x.jsonl", [*rows(3), b"", bad, *rows(3, 10), rows(1)[0]])
    with pytest.raises(SharpenError, match=r"^x\.jsonl, row 5: "):
        Dataset("jsonl", path, limits=Limits(max_prompt=100))
    source = Dataset("jsonl", path, limits=Limits(on_bad_row="skip", max_prompt=100))
    ledger = source.ledger
    assert (ledger.read, ledger.kept.total(), ledger.duplicates) == (8, 6, 1)
    assert ledger.skipped == {reason: 1}
    assert ledger.adds_up
    assert ledger.shown[0].startswith("x.jsonl, row 5: ")
    assert f"1 skipped: {reason}" in str(ledger)


def test_a_missing_field_names_the_nearest(tmp_path):
    path = jsonl(tmp_path / "x.jsonl", [{"prompt": "p", "anwser": "1"}])
    with pytest.raises(SharpenError, match="row 1: no field 'answer', did you mean 'anwser'"):
        Dataset("jsonl", path)
    pq.write_table(pa.Table.from_pylist([{"prompt": "p", "anwser": "1"}]), tmp_path / "x.parquet")
    with pytest.raises(SharpenError, match=r"unknown column of x\.parquet 'answer': did you mean 'anwser'"):
        Dataset("parquet", tmp_path / "x.parquet")


def test_bytes_that_are_not_text_in_parquet(tmp_path):
    raw = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb")]
    )
    pq.write_table(pa.table({"prompt": raw, "answer": ["1", "2", "3"]}), tmp_path / "x.parquet")
    with pytest.raises(SharpenError, match=r"x\.parquet, row 2: not UTF-8"):
        Dataset("parquet", tmp_path / "x.parquet")
    source = Dataset("parquet", tmp_path / "x.parquet", limits=SKIP)
    assert source.ledger.skipped == {"not UTF-8": 1}
    assert {t.prompt for t in every(source)} == {"a", "b"}
    (tmp_path / "y.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SharpenError, match=r"y\.parquet: not a readable Parquet file"):
        Dataset("parquet", tmp_path / "y.parquet")


def test_length_is_measured_by_the_caller(tmp_path):
    path = jsonl(tmp_path / "x.jsonl", [*rows(2), {"prompt": "a b c d e f", "answer": "1"}])
    words = Limits(on_bad_row="skip", max_prompt=5, length=lambda p: len(str(p).split()))
    source = Dataset("jsonl", path, limits=words)
    assert source.ledger.skipped == {"too long": 1}
    assert source.spec != Dataset("jsonl", path, limits=SKIP).spec


def test_files_by_split_and_a_question_in_two(tmp_path):
    shared = {"prompt": "what is 2 + 1", "answer": "3"}
    paths = {
        "train": jsonl(tmp_path / "train.jsonl", rows(4)),
        "test": jsonl(tmp_path / "test.jsonl", [shared, *rows(2, 90)]),
    }
    with pytest.raises(SharpenError, match=r"train-train-3 of 'train' asks the same as test-test-1"):
        Dataset("jsonl", paths)
    source = Dataset("jsonl", paths, limits=Limits(on_overlap="drop"))
    assert source.ledger.kept == {"train": 3, "test": 3}
    assert source.ledger.skipped == {"in a more held-out split too": 1}
    assert source.ledger.adds_up
    assert shared["prompt"] in {t.prompt for t in source.take("test", 3)}
    with pytest.raises(SharpenError, match="unknown split 'tset'"):
        Dataset("jsonl", {"tset": paths["test"]})
    with pytest.raises(SharpenError, match="say the splits once"):
        Dataset("jsonl", paths, columns={"split": "fold"})


def test_split_column_and_ids(tmp_path):
    data = [
        {**r, "fold": f, "uid": i}
        for i, (r, f) in enumerate(zip(rows(3), ["train", "valid", "other"], strict=True))
    ]
    path = jsonl(tmp_path / "x.jsonl", [*data, {"prompt": "new", "answer": "1", "fold": "train", "uid": 0}])
    source = Dataset("jsonl", path, columns={"split": "fold", "id": "uid"}, limits=SKIP)
    assert [t.id for t in every(source)] == ["0", "1"]
    assert source.ledger.skipped == {"bad split": 1, "repeated id": 1}
    with pytest.raises(SharpenError, match="row 3: split 'other' is none of base, train, dev, test"):
        Dataset("jsonl", path, columns={"split": "fold", "id": "uid"})


def test_chat_prompts(tmp_path):
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "q", "name": None}]
    source = Dataset("jsonl", {"test": jsonl(tmp_path / "x.jsonl", [{"prompt": chat, "answer": 1.5}])})
    task = source.take("test", 1)[0]
    assert task.prompt == ({"role": "system", "content": "s"}, {"role": "user", "content": "q"})
    assert task.answer == "1.5"
    assert source.canonical(task) == "q"


def test_spec_is_the_content_not_the_place(tmp_path):
    (tmp_path / "else").mkdir()
    a = Dataset("jsonl", jsonl(tmp_path / "x.jsonl", rows(9)))
    b = Dataset("jsonl", jsonl(tmp_path / "else" / "x.jsonl", rows(9)))
    assert a.spec == b.spec
    (tmp_path / "else" / "x.jsonl").open("ab").write(b"\n")
    assert Dataset("jsonl", tmp_path / "else" / "x.jsonl").spec != a.spec
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "x.jsonl")
    assert Dataset("jsonl", link).name == "jsonl:link.jsonl"


def test_text_is_never_evaluated(tmp_path, capsys):
    nasty = {"prompt": "__import__('builtins').print('ran')", "answer": "{{ 7*7 }}"}
    source = Dataset("jsonl", {"train": jsonl(tmp_path / "x.jsonl", [nasty])})
    task = source.take("train", 1)[0]
    assert (task.prompt, task.answer) == (nasty["prompt"], nasty["answer"])
    source.verify(task, "__import__('builtins').print('ran')")
    assert capsys.readouterr().out == ""


def test_what_is_wrong_with_the_whole_file(tmp_path):
    with pytest.raises(SharpenError, match="no usable row"):
        Dataset("jsonl", jsonl(tmp_path / "empty.jsonl", []))
    with pytest.raises(SharpenError, match="no such dataset"):
        Dataset("jsonl", tmp_path / "none.jsonl")
    with pytest.raises(SharpenError, match="is a folder"):
        Dataset("jsonl", tmp_path)
    with pytest.raises(SharpenError, match="unknown dataset kind 'json': did you mean 'jsonl'"):
        Dataset("json", tmp_path)
    source = Dataset("jsonl", {"train": jsonl(tmp_path / "x.jsonl", rows(3))})
    with pytest.raises(SharpenError, match="split 'test' has 0 distinct items, 1 were asked for"):
        source.take("test", 1)
    with pytest.raises(SharpenError, match="split 'train' has 3 distinct items, 4 were asked for"):
        source.take("train", 2, start=2)
