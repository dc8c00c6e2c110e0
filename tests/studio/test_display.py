"""What a terminal is shown: progress, tables, and text that must not be obeyed."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sharpen.score.verdict import Status, Verdict
from sharpen.studio.live import Live, curve_table, rollout_lines, wants_colour, watch
from sharpen.studio.plain import Plain
from sharpen.studio.seeds import watch_seeds
from sharpen.studio.table import gain_table, gains, listing, seeds_gains, settings_lines, show, side_by_side
from sharpen.studio.words import cells, clean, clock_time, duration, interval, number, percent, size, spark
from sharpen.verbs.seeds import Outcome

HOSTILE = "[bold red]x[/bold red] [/] \x1b[2J\x1b]8;;http://x\x07\r\x9b31m\u202e\u2028\x00"
# escape sequences that rich itself writes to colour and to redraw
OURS = re.compile(r"\x1b\[[0-9;?]*[mKAhlG]|\r")


def row(r: int, greedy: float, **more: float) -> dict:
    return {
        "key": f"k{r}",
        "round": r,
        "name": "held_out",
        "accuracy_greedy": greedy,
        "accuracy_t1": greedy / 2,
    } | more


def drawn(thing, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(thing)
    return console.file.getvalue()  # type: ignore[attr-defined]


@given(st.text(), st.none() | st.integers(1, 30))
def test_clean_text_is_one_printable_line(text, width):
    out = clean(text, width)
    assert all(c == "⏎" or c.isprintable() or c.isspace() for c in out)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", out)
    if width is not None:
        assert len(out) <= width


def test_clean_keeps_what_is_harmless():
    assert clean("3 × 8 = 24 [ok]\tja\nü") == "3 × 8 = 24 [ok] ja⏎ü"
    assert clean("\x1b[2J\r") == "\\x1b[2J\\x0d"
    assert clean("abcdef", 4) == "abc…"


def test_numbers():
    assert percent(0.3125) == "31.2 %"
    assert interval(0.1, None) == ""
    assert interval(-0.01, 0.02, sign=True) == "(-1.0 to +2.0)"
    assert (clock_time(95), clock_time(3725), duration(9.04), duration(95)) == (
        "1:35",
        "1:02:05",
        "9.0 s",
        "1:35",
    )
    assert (size(999), size(1500), size(4.7e6), size(2.5e12)) == ("999 B", "1.5 kB", "4.7 MB", "2.5 TB")
    assert (number(1234567), number(0.123456), number(None), number(True)) == (
        "1,234,567",
        "0.1235",
        "-",
        "yes",
    )
    assert spark([0.0, 0.5, None, 1.0]) == "▁▅ █"
    assert spark([]) == ""
    assert spark([0.2, 0.2]) == "▁▁"


def test_cells_pair_a_measure_with_its_interval_and_put_headlines_first():
    found = cells(
        {"length": 12.5, "pass_at_8": 0.9, **row(1, 0.4, accuracy_greedy_low=0.3, accuracy_greedy_high=0.5)}
    )
    assert list(found) == ["accuracy_greedy", "accuracy_t1", "length", "pass_at_8"]
    assert str(found["accuracy_greedy"]) == "40.0 % (30.0 to 50.0)"
    assert str(found["pass_at_8"]) == "90.0 %"
    assert str(found["length"]) == "12.5"


def test_gain_is_last_against_first_and_takes_the_interval_it_is_given():
    rows = [
        row(0, 0.2),
        row(1, 0.3),
        row(2, 0.5),
        {"name": "rollouts", "truncated_share": 0.1},
        {"name": "rollouts", "truncated_share": 0.2},
    ]
    found = gains(rows, {"accuracy_greedy": (0.29, 0.2, 0.4)})
    assert [(g.name, g.measure) for g in found][:2] == [
        ("held_out", "accuracy_greedy"),
        ("held_out", "accuracy_t1"),
    ]
    greedy, t1 = found[:2]
    assert (greedy.base, greedy.final, greedy.change, greedy.low, greedy.high) == (0.2, 0.5, 0.29, 0.2, 0.4)
    assert t1.change == pytest.approx(0.15)
    text = drawn(gain_table(found))
    assert "held out" in text
    assert "(+20.0 to +40.0)" in text
    assert "rollouts" not in text  # no evaluation
    assert "nothing was measured twice" in drawn(gain_table(gains([row(0, 0.2)])))


def test_a_measure_that_is_none_does_not_break_the_tables():
    rows = [row(0, 0.2) | {"entropy": None}, row(1, 0.3) | {"entropy": 1.0}]
    assert [g.measure for g in gains(rows)] == ["accuracy_greedy", "accuracy_t1"]


def test_seeds_gains_come_from_the_summary():
    end = {"mean": 0.5, "low": 0.4, "high": 0.6}
    one = {"items": 9, "base": end, "final": end, "change": {"mean": 0.0, "low": -0.1, "high": 0.1}}
    found = seeds_gains({"measures": {"accuracy_t1": one, "accuracy_greedy": one}})
    assert [g.measure for g in found] == ["accuracy_greedy", "accuracy_t1"]
    assert (found[0].low, found[0].high) == (-0.1, 0.1)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_curve_fits_its_width(width):
    curve = {str(r): row(r, 0.2 + r / 100) for r in range(40)}
    text = drawn(curve_table("held_out", curve, width), width)
    assert len(text.splitlines()) == 3
    assert "20.0" in text  # the base stays
    assert "59.0" in text  # so does the latest


def test_hostile_text_is_shown_and_not_obeyed():
    for thing in (
        rollout_lines(HOSTILE, HOSTILE, Verdict(1.0), width=200),
        settings_lines({HOSTILE: HOSTILE}),
        listing(["a", "b"], [(HOSTILE, HOSTILE)]),
        side_by_side([HOSTILE, "b"], [{HOSTILE: 0.5}, {}]),
        gain_table(gains([{"name": HOSTILE, "accuracy_t1": 0.5}] * 2)),
    ):
        text = drawn(thing, 200)
        assert "[bold red]x[/bold red] [/]" in text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)


def live(width: int = 80) -> tuple[Live, io.StringIO]:
    out = io.StringIO()
    now = iter(range(10_000))
    console = Console(file=out, width=width, height=40, force_terminal=True, color_system="standard")
    return Live(console, f"b_star {HOSTILE}", rounds=4, clock=lambda: float(next(now))), out


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_display_shows_the_step_the_accuracy_and_the_last_rollout(width):
    display, _ = live(width)
    display.begin("round-0001/sample:0", "sample", 100)
    display.begin("round-0002/sample:0", "sample", 100)
    display.advance(30, 900)
    display.advance(10, 300)
    display.metrics(row(0, 0.2))
    display.metrics(row(1, 0.35))
    display.rollout("Make 24", "3 * 8", Verdict(0.0))
    text = drawn(display, width)
    assert all(len(line) <= width for line in text.splitlines())
    for part in (
        "round 2 of 4",
        "sample",
        "40/100",
        "tokens/s",
        "left",
        "20.0",
        "35.0",
        "+15.0",
        "wrong",
        "3 * 8",
    ):
        assert part in text
    display.rollout("Make 24", "?", Verdict(0.0, Status.TIMEOUT))
    assert "timeout" in drawn(display, width)


def test_the_live_display_obeys_no_model():
    display, out = live()
    with display:
        display.begin(f"round-0001/{HOSTILE}", "sample")
        display.rollout(HOSTILE, HOSTILE, Verdict(1.0))
        display.say(HOSTILE)
        display.warn(HOSTILE)
        display.metrics({**row(0, 0.5), "name": HOSTILE})
    text = OURS.sub("", out.getvalue())
    assert "[bold red]x[/bold red]" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)


def test_plain_lines_have_no_escapes_and_one_line_a_step():
    out = io.StringIO()
    with Plain(out) as p:
        p.begin("round-0001/sample:0", "sample", 10)
        p.advance(4, 100)
        p.advance(6, 100)
        p.end()
        p.metrics(row(1, 0.4, accuracy_greedy_low=0.3, accuracy_greedy_high=0.5))
        p.warn(HOSTILE)
        p.rollout("p", "t", None)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("round-0001/sample:0: 10 done, 200 tokens, ")
    assert lines[1] == "round 1 held_out: greedy 40.0 % (30.0 to 50.0), T=1 20.0 %"
    assert lines[2].startswith("warning: [bold red]x")
    assert "\x1b" not in out.getvalue()


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_escapes_without_a_terminal_or_where_they_are_not_wanted(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(watch(Tty(), "t"), Live)
    assert isinstance(watch(Tty(), "t", plain=True), Plain)
    assert isinstance(watch(io.StringIO(), "t"), Plain)
    monkeypatch.setenv("NO_COLOR", "1")
    assert isinstance(watch(Tty(), "t"), Plain)
    assert not wants_colour(Tty())
    out = Tty()
    show(out, gain_table(gains([row(0, 0.2), row(1, 0.3)])), HOSTILE)
    assert "\x1b[" not in out.getvalue().replace("\x1b[2J", "")


def test_several_seeds_have_a_line_each(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = io.StringIO()
    with watch_seeds(plain, "t", [0, 1]) as told:
        told.line(1, f"hello {HOSTILE}")
        told.ended(Outcome(1, 0))
    assert plain.getvalue().splitlines()[0].startswith("seed 1 | hello [bold red]x")
    assert plain.getvalue().splitlines()[1] == "seed 1 | finished"
    terminal = Tty()
    with watch_seeds(terminal, "t", [0, 1]) as told:
        told.line(1, HOSTILE)
        told.ended(Outcome(1, 2))
    text = OURS.sub("", terminal.getvalue())
    assert "waiting" in text
    assert "failed" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)
