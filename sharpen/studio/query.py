"""Rollouts of a run by what is asked of them: pages, filters, two rounds side by side. Reads no tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from sharpen.errors import SharpenError, unknown
from sharpen.score.verdict import Status
from sharpen.studio.episodes import Sampled, light, listed
from sharpen.studio.words import texts

MOST = 200
"""Rows of a page."""
ORDERS = {"n": "n_sampled", "ent": "mean_entropy", "cert": "mean_certainty", "score": "score"}
OUTCOMES = ("", "right", "wrong", "unknown", "unjudged")
_UNKNOWN = ", ".join(f"'{s}'" for s in Status if s.unknown)
_OUTCOME = {
    "right": f"correct and status not in ({_UNKNOWN})",
    "wrong": f"not correct and status not in ({_UNKNOWN})",
    "unknown": f"status in ({_UNKNOWN})",
    "unjudged": "correct is null",
}


def episodes(steps: Sequence[Sampled], want: Mapping[str, Any]) -> dict[str, Any]:
    """A page: ``rows`` (``episodes.listed``), ``total`` that fit, ``shown`` and ``of``, all there are.

    ``want`` may have ``step``, ``outcome``, ``status``, ``text``, ``sort``, ``offset``, ``limit``. Without a
    filter or an order only the parts that the page needs are opened.

    Raises SharpenError for an unknown step, outcome, status or order.
    """
    chosen = _chosen(steps, str(want.get("step", "")))
    start, n = _bounds(want, 50)
    outcome, status = str(want.get("outcome", "")), str(want.get("status", ""))
    for kind, value, known in (("outcome", outcome, OUTCOMES), ("status", status, ["", *Status])):
        if value not in known:
            raise unknown(kind, value, known)
    order = _order(str(want.get("sort", "")))
    of = sum(s.rows for s in steps)
    text = str(want.get("text", ""))
    if not (outcome or status or text or order):
        rows, total = _plain(chosen, start, n), sum(s.rows for s in chosen)
        return {"rows": rows, "total": total, "shown": of, "of": of}
    conditions = [_OUTCOME[outcome]] if outcome else []
    arguments: list[Any] = []
    if status:
        conditions.append("status = ?")
        arguments.append(status)
    if text:
        conditions.append("(contains(lower(text), lower(?)) or contains(lower(task_id), lower(?)))")
        arguments += [text, text]
    where = f"where {' and '.join(conditions)}" if conditions else ""
    connection = joined(chosen)
    found = connection.execute(f"select count(*) from rollouts {where}", arguments).fetchone()
    total = int(found[0]) if found else 0
    page = connection.execute(
        f"select * from rollouts {where} order by {order} place, part, row limit {n} offset {start}",
        arguments,
    )
    rows = [listed(chosen[r["place"]], r, [r] if r["status"] is not None else []) for r in _dicts(page)]
    return {"rows": rows, "total": total, "shown": of, "of": of}


def _bounds(want: Mapping[str, Any], usual: int) -> tuple[int, int]:
    """Where a page begins, and how many rows it has at most."""
    return max(int(want.get("offset") or 0), 0), min(max(int(want.get("limit") or usual), 1), MOST)


def _chosen(steps: Sequence[Sampled], key: str) -> list[Sampled]:
    if not key:
        return list(steps)
    if key not in (s.key for s in steps):
        raise unknown("step", key, [s.key for s in steps])
    return [s for s in steps if s.key == key]


def _order(sort: str) -> str:
    name = sort.removeprefix("-")
    if name and name not in ORDERS:
        raise unknown("order", sort, [*ORDERS, *(f"-{k}" for k in ORDERS)])
    way = "desc" if sort.startswith("-") else "asc"
    return f"{ORDERS[name]} {way} nulls last," if name else ""


def _plain(steps: Sequence[Sampled], start: int, n: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in steps:
        held = step.rows
        if start < held and len(rows) < n:
            rows += light(step, start, n - len(rows))
        start = max(start - held, 0)
    return rows


def joined(steps: Sequence[Sampled]) -> duckdb.DuckDBPyConnection:
    """A connection with a view ``rollouts``: a row an episode with its last verdict, without tokens, beside
    ``step``, ``round`` and where it is stored (``place``, ``part``, ``row``)."""
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": False})
    parts = [(str(p), i, k, s.key, s.round) for i, s in enumerate(steps) for k, p in enumerate(s.parts)]
    if not parts:
        raise SharpenError("this run has no stored rollouts yet")
    connection.execute("create table parts(filename varchar, place int, part int, step varchar, round int)")
    connection.executemany("insert into parts values (?, ?, ?, ?, ?)", parts)
    judged = list(dict.fromkeys(str(p) for s in steps for p in s.judged))
    connection.execute("create table judged(filename varchar, place int)")
    if judged:
        connection.executemany("insert into judged values (?, ?)", [(p, i) for i, p in enumerate(judged)])
    twice = any(len({p.parent for p in s.judged}) > 1 for s in steps)
    connection.execute(f"create view verdicts as {_verdicts(judged, last=twice)}")
    connection.execute(f"""create view rollouts as
        select e.key, p.step, p.round, e.task_id, e.sample, e.text, e.prefill, e.finish, e.n_sampled,
               e.mean_entropy, e.mean_certainty, v.correct, v.status, v.score, v."by", v.detail,
               p.place, p.part, e.file_row_number as row
        from read_parquet([{texts(p for p, *_ in parts)}], union_by_name=true, filename=true,
                          file_row_number=true) e
        join parts p on e.filename = p.filename left join verdicts v on e.key = v.key""")
    return connection


def _verdicts(files: Sequence[str], *, last: bool) -> str:
    names = 'key, correct, status, score, "by", detail'
    if not files:
        return (
            "select null::varchar as key, null::boolean as correct, null::varchar as status, "
            'null::double as score, null::varchar as "by", null::varchar as detail where false'
        )
    read = f"read_parquet([{texts(files)}], union_by_name=true, filename=true)"
    if not last:
        return f"select {names} from {read}"
    return (
        f"select v.{names} from {read} v join judged j on v.filename = j.filename "
        "qualify row_number() over (partition by v.key order by j.place desc) = 1"
    )


def difference(steps: Sequence[Sampled], a: str, b: str, want: Mapping[str, Any]) -> dict[str, Any]:
    """The attempts of two steps at the same questions, sample by sample: ``counts`` (how many were ``fixed``,
    ``broken``, right or wrong in ``both``), ``rows`` of a page with both attempts, ``total``.

    ``want`` may have ``change`` (one of the counts), ``offset``, ``limit``.
    """
    first, second = (_chosen(steps, key)[0] for key in (a, b))
    known = ("", "fixed", "broken", "right", "wrong", "other")
    if (change := str(want.get("change", ""))) not in known:
        raise unknown("change", change, known)
    connection = joined([first] if first is second else [first, second])
    connection.execute(
        f"""create view pairs as select a.task_id as task, a.sample as sample, a.key as key_a, b.key as key_b,
        a.text as text_a, b.text as text_b, a.prefill as prefill_a, b.prefill as prefill_b,
        a.correct as correct_a, b.correct as correct_b, a.status as status_a, b.status as status_b,
        case when a.correct and b.correct then 'right' when a.correct and not b.correct then 'broken'
             when not a.correct and b.correct then 'fixed' when not a.correct and not b.correct then 'wrong'
             else 'other' end as change, a.part as part, a.row as row
        from rollouts a join rollouts b on a.task_id = b.task_id and a.sample = b.sample
        where a.place = 0 and b.place = {int(first is not second)}"""
    )
    counts = dict(connection.execute("select change, count(*) from pairs group by change").fetchall())
    start, n = _bounds(want, 20)
    where, arguments = ("where change = ?", [change]) if change else ("", [])
    page = connection.execute(
        f"select * from pairs {where} order by change = 'right', change = 'wrong', part, row "
        f"limit {n} offset {start}",
        arguments,
    )
    total = counts.get(change, 0) if change else sum(counts.values())
    rows = [{k: v for k, v in row.items() if k not in ("part", "row")} for row in _dicts(page)]
    return {"counts": counts, "rows": rows, "total": total}


def _dicts(found: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [d[0] for d in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
