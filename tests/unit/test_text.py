"""Nothing that passes `safe` can drive a terminal, hide, or fail to be encoded; values read as people write them."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.hostile import FORBIDDEN_NAMES, HOSTILE_NAMES
from tui import text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain name.txt", "plain name.txt"),
        ("", ""),
        ("grüße 世界 😀", "grüße 世界 😀"),
        ("cafe\u0301", "cafe\u0301"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("back\\slash", "back\\slash"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x9b31m", r"\x9b31m"),
        ("\x00\x07\x7f", r"\x00\x07\x7f"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("\u200b\u200d\ufeff\u2060\u00ad", r"\u200b\u200d\ufeff\u2060\xad"),
        ("\u2028\u2029\u00a0", r"\u2028\u2029\xa0"),
        ("\ud800", r"\ud800"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("\u3164\u2800\u115f", r"\u3164\u2800\u115f"),
        ("\U000e0100", r"\U000e0100"),
    ],
)
def test_safe(raw: str, shown: str) -> None:
    assert text.safe(raw) == shown


@pytest.mark.parametrize("name", HOSTILE_NAMES + FORBIDDEN_NAMES)
def test_hostile_names_become_harmless(name: str) -> None:
    shown = text.safe(name)
    shown.encode("utf-8")
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert text.safe(shown) == shown


@given(st.text(st.characters(codec=None)))
def test_any_text_becomes_harmless(raw: str) -> None:
    shown = text.safe(raw)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert "\n" not in shown


def test_a_long_name_is_kept_whole() -> None:
    assert text.safe("x" * 1000) == "x" * 1000


def test_lines_stay_lines() -> None:
    assert text.safe_lines("one\n\x1btwo\r\n") == "one\n\\x1btwo\\r\n"


def test_a_cell_holds_brackets_as_they_are_and_is_cut_to_one_line() -> None:
    cell = text.cell("model[/red]\n" + "x" * 1000)
    assert isinstance(cell, Text)
    assert cell.plain.startswith("model[/red]\\nxxx")
    assert _drawn(cell, 20) == "model[/red]\\nxxxxxx…\n"


def test_a_wide_cell_is_cut_to_its_columns() -> None:
    assert _drawn(text.cell("模型权重" * 5), 9) == "模型权重…\n"


def _drawn(cell: Text, width: int) -> str:
    console = Console(width=width, color_system=None)
    table = Table.grid()
    table.add_row(cell)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (12, "12 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (10 * 1024, "10 KiB"),
        (98 * 2**20, "98 MiB"),
        (int(4.2 * 2**30), "4.2 GiB"),
        (2**20 - 1, "1.0 MiB"),
        (2**30 - 1, "1.0 GiB"),
        (10 * 2**30 - 1, "10 GiB"),
        (2**50, "1.0 PiB"),
    ],
)
def test_size(size_bytes: int, shown: str) -> None:
    assert text.size(size_bytes) == shown


@given(st.integers(0, 2**60))
def test_a_size_is_never_1024_of_something(size_bytes: int) -> None:
    number, _ = text.size(size_bytes).split()
    assert float(number) < 1024


@pytest.mark.parametrize(
    ("age_ms", "shown"),
    [
        (-5, "0s"),
        (999, "0s"),
        (4_000, "4s"),
        (59_999, "59s"),
        (120_000, "2m"),
        (3_600_000, "1h"),
        (3 * 86_400_000, "3d"),
    ],
)
def test_age(age_ms: int, shown: str) -> None:
    assert text.age(age_ms) == shown


@pytest.mark.parametrize(
    ("age_ms", "shown"), [(-1, "0.0s"), (200, "0.2s"), (9_949, "9.9s"), (9_950, "9s"), (41_000, "41s")]
)
def test_beat(age_ms: int, shown: str) -> None:
    assert text.beat(age_ms) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0s"), (14, "14s"), (59.6, "1m 00s"), (200, "3m 20s"), (7_500, "2h 05m"), (526_000, "6d 02h")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_eta_is_known_only_when_everything_is() -> None:
    assert text.eta(50, 100, 10) == "5s"
    assert text.eta(50, None, 10) == text.UNKNOWN
    assert text.eta(50, 100, 0) == text.UNKNOWN


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 10, "0%"), (1, 1000, "<1%"), (45, 100, "45%"), (999, 1000, "99%"), (10, 10, "100%"), (1, 0, text.UNKNOWN)],
)
def test_share(part: int, whole: int, shown: str) -> None:
    assert text.share(part, whole) == shown


def test_rates_and_counts() -> None:
    assert text.rate(212 * 2**20) == "212 MiB/s"
    assert text.count(6233) == "6,233"


def test_times_of_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert text.clock(1_790_000_000_000) == "14:13:20"
        assert text.wall_time(1_790_000_000_000) == "2026-09-21 14:13:20"
        assert text.wall_time(2**80) == text.UNKNOWN
    finally:
        monkeypatch.undo()
        time.tzset()
