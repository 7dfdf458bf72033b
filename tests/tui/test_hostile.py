"""Names and contents that tear screens do nothing here: no crash, no restyling, nothing raw sent to the terminal."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tests.fakes import FakeStore
from tests.hostile import FORBIDDEN_NAMES, HOSTILE_NAMES
from tests.tui.driver import SIZES, Driver, dashboard
from tui.text import safe

NAMES = HOSTILE_NAMES + FORBIDDEN_NAMES
BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def assert_harmless(d: Driver) -> None:
    for char in d.text():
        assert char == "\n" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp"), hex(ord(char))
        assert char not in BIDIRECTIONAL
    for strip in d.app.screen._compositor.render_strips():
        for segment in strip:
            assert segment.style is None or not segment.style.meta.get("@click"), segment


@pytest.mark.parametrize("size", SIZES)
async def test_the_dashboard_survives_them_all(size: tuple[int, int]) -> None:
    store = FakeStore(3)
    store.add_hostile_names()
    for name in NAMES:
        store.say("error", f"Something about {name} here")
    async with dashboard(store, size) as d:
        for key in ("1", "2", "3", "4", "5", "1"):
            await d.press(key)
            assert_harmless(d)
        await d.press("G", "question_mark")
        assert_harmless(d)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_each_of_them_through_every_surface(name: str) -> None:
    store = FakeStore(3)
    if name in FORBIDDEN_NAMES:
        store.add_hostile_names()
    else:
        store.upload(name, name)
    async with dashboard(store, (120, 36)) as d:
        table = d.table("artifacts")
        assert table.select(name)
        app = d.app
        surfaces = (
            lambda: app.front.set_filter("artifacts", name[:40]),
            lambda: app.front.set_filter("artifacts", ""),
            lambda: app.commands.open_artifact(name),
            lambda: app.commands.ask_delete(name),
            lambda: app.commands.ask_update(name),
            lambda: app.commands.ask_get(name),
            lambda: app.notify(name, title=name),
            lambda: app.did(f"Did {name}", (name,)),
            lambda: app.failed(name, name),
            lambda: app.complain(f"Wrong: {name}", 5),
            lambda: app.copy(name),
            lambda: setattr(app.front, "tooltip", safe(name)),
            lambda: app.front.bar.open("command", name),
        )
        for surface in surfaces:
            surface()
            await d.pilot.pause()
            assert_harmless(d)
            if d.screen not in ("DashboardScreen",):
                await d.press("escape")
        assert_harmless(d)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
async def test_a_hostile_name_is_deleted_and_brought_back_under_its_raw_name(name: str) -> None:
    store = FakeStore(3)
    store.upload(name, "x")
    async with dashboard(store, (80, 24)) as d:
        await d.press("d")
        await d.until(lambda: d.screen == "Confirm")
        await d.press("y")
        await d.until(lambda: not d.keys("artifacts"))
        await d.press("z")
        await d.until(lambda: d.keys("artifacts") == [name])


@pytest.mark.parametrize(
    "content",
    [
        b"\x1b]0;pwned\x07\x1b[2J",
        b"\xff\xfe\x00" * 500,
        b"[red]x[/nothing] [@click=app.quit]y[/]",
        "\u202egnp.exe".encode(),
        b"",
    ],
    ids=ascii,
)
async def test_hostile_content_is_shown_harmlessly(content: bytes, tmp_path: Path) -> None:
    store = FakeStore(3)
    store.upload("it", content)
    async with dashboard(store, (120, 36)) as d:
        for line, key in (("get it", "h"), ("info it", "h")):
            await d.command(line)
            await d.until(lambda: d.screen != "DashboardScreen" and "Reading" not in d.text())
            assert_harmless(d)
            await d.press(key)
            assert_harmless(d)
            await d.press("escape")


async def test_what_is_pasted_into_inputs_reaches_no_terminal(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("colon")
        await d.type("upload \x1b[31mred\x07 \u202ex")
        assert_harmless(d)
        assert "\x1b" not in d.app.front.bar.input.value
        await d.press("escape", "u")
        await d.until(lambda: d.screen == "ContentDialog")
        area = d.app.screen.query_one("#text")
        area.focus()
        area.insert("raw \x1b[31m and \x9b bytes \u202e")
        await d.pilot.pause()
        assert_harmless(d)
