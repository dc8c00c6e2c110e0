"""The page lists every strategy as it is."""

from __future__ import annotations

from pathlib import Path

from sharpen.strategies import STRATEGIES
from sharpen.strategies.listing import renewed, table

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"


def test_the_page_holds_the_table():
    page = PAGE.read_text("utf-8")
    assert table() in page, "run: python -m sharpen.strategies.listing docs/strategies.md"
    assert renewed(page) == page


def test_every_strategy_has_a_row_with_its_settings():
    rows = [row for row in table().splitlines()[2:] if row]
    assert len(rows) == len(STRATEGIES)
    for name, row in zip(STRATEGIES, rows, strict=True):
        assert f"`{name}`" in row
        assert row.count(" | ") == 5
    assert "| `samples=16` `temperature=-1.0` `shots=0` |" in table()


def test_a_page_without_marks_stays():
    assert renewed("nothing here") == "nothing here"
    assert renewed("<!-- strategies -->\nold\n<!-- end -->") == f"<!-- strategies -->\n{table()}<!-- end -->"
