"""The screen at every size: what is there, that keys go somewhere, that nothing runs out of its line."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len
from textual.color import Color

from tests.fakes import FakeStore
from tests.tui.driver import SIZES, dashboard
from tui.lines import TONES

NARROW = """\
 dame fake cluster   ◐ DEGRADED   3/4 nodes up   3 under-replicated   ● LIVE 0s
[1 Artifacts 3] 2 Nodes 4 !1  3 Cluster  4 Events !1  5 Transfers
┏━ 1 Artifacts  3 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ NAME ▲                               SIZE    VER  CHUNKS  REPLICAS       AGE ┃
┃▌greeting                             11 B     v1       1  2/3 UNDER       3m ┃
┃ model.bin                          10 KiB     v1      10  2/3 UNDER       2m ┃
┃ notes.txt                             8 B     v1       1  2/3 UNDER       1m ┃
"""
"""The first lines of 80x24 with one of four nodes down."""


@pytest.mark.parametrize("size", SIZES)
async def test_every_line_fits_and_the_frame_is_there(store: FakeStore, size: tuple[int, int]) -> None:
    store.kill("sn-04")
    async with dashboard(store, size) as d:
        await d.until_shown("greeting")
        rows = d.text().splitlines()
        assert len(rows) == size[1]
        assert all(cell_len(row) <= size[0] for row in rows)
        assert "dame" in rows[0]
        assert "LIVE" in rows[0]
        assert rows[-2].startswith(" ❯")
        assert "?" in rows[-1]


async def test_narrow_shows_one_panel_at_a_time(store: FakeStore) -> None:
    async with dashboard(store, (80, 24)) as d:
        await d.until_shown("[1 Artifacts 3]", "greeting")
        for key, shown, hidden in (
            ("2", "sn-01", "greeting "),
            ("3", "capacity", "sn-01"),
            ("4", "INFO", "capacity"),
            ("5", "Nothing is being", "capacity"),
        ):
            await d.press(key)
            await d.until_shown(shown)
            body = "\n".join(d.text().splitlines()[2:-3])
            assert hidden not in body
        await d.press("tab")
        await d.until_shown("[1 Artifacts 3]")
        await d.press("shift+tab")
        await d.until_shown("[5 Transfers]")


async def test_standard_shows_panels_side_by_side(store: FakeStore) -> None:
    async with dashboard(store, (120, 36)) as d:
        await d.until_shown(
            "1 Artifacts  3", "2 Nodes  4", "3 Cluster", "4 Events", "capacity", "sn-04", "Stored greeting"
        )


async def test_wide_shows_the_selected_artifact_too(store: FakeStore) -> None:
    async with dashboard(store, (200, 60)) as d:
        await d.until_shown("5 Transfers", "Selected", "CHUNK", "blake3")
        assert d.table("artifacts").select("model.bin")
        await d.until_shown("10 × 1.0 KiB")


async def test_a_storm_of_sizes_never_loses_the_focus(store: FakeStore) -> None:
    luck = random.Random(3)
    async with dashboard(store) as d:
        for _ in range(25):
            await d.press(str(luck.randrange(1, 6)))
            await d.pilot.resize_terminal(
                luck.choice([40, 60, 80, 100, 120, 170, 200]), luck.choice([12, 16, 24, 30, 36, 60])
            )
            await d.pilot.pause()
            focused = d.app.focused
            assert focused is not None
            assert focused.id == d.app.front.current
            assert focused.size.height > 0


async def test_a_resize_under_a_dialog_keeps_it_usable(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("u")
        await d.until(lambda: d.screen == "ContentDialog")
        await d.pilot.resize_terminal(40, 12)
        await d.type("tiny")
        await d.press("ctrl+j")
        await d.until(lambda: "tiny" in {item.name for item in store.list()})


async def test_clicks_choose_rows_tabs_and_columns(store: FakeStore) -> None:
    async with dashboard(store, (80, 24)) as d:
        await d.pilot.click("#artifacts", offset=(5, 4))
        assert d.table("artifacts").cursor_key == "notes.txt"
        await d.pilot.click("#artifacts", offset=(4, 1))
        assert d.keys("artifacts")[0] == "notes.txt"
        await d.pilot.click("TabStrip", offset=(20, 0))
        await d.until(lambda: d.app.focused is d.table("nodes"))
        await d.pilot.click("#nodes", offset=(5, 3), times=2)
        await d.until_shown("/data/sn-02")


async def test_states_are_words_without_colour(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    store.kill("sn-01")
    store.silence("sn-02")
    async with dashboard(store) as d:
        await d.until_shown("✗ DOWN", "◐ SUSPECT", "● UP", "UNDER", "WARN")
        for strip in d.app.screen._compositor.render_strips():
            for segment in strip:
                color = segment.style.color if segment.style else None
                assert color is None or color.triplet is None or len(set(color.triplet)) == 1


async def test_the_event_log_follows_until_someone_scrolls_up(store: FakeStore) -> None:
    async with dashboard(store, (80, 24)) as d:
        for number in range(60):
            store.say("info", f"event number {number}")
        await d.press("4")
        await d.until_shown("event number 59")
        await d.press("k", "k", "k")
        await d.until_shown("not following")
        store.say("info", "a newer one")
        await d.until(lambda: "a newer one" in "".join(run.text for run in d.app.front.query_one("#events").lines[-1]))
        assert "a newer one" not in "\n".join(d.text().splitlines()[2:-3])
        await d.press("end")
        await d.until(lambda: "a newer one" in "\n".join(d.text().splitlines()[2:-3]))


async def test_a_narrow_screen_to_the_letter(store: FakeStore) -> None:
    store.kill("sn-01")
    async with dashboard(store, (80, 24), clock=lambda: 0.0) as d:
        await d.until_shown("LIVE 0s")
        assert d.text().startswith(NARROW)
        assert d.text().splitlines()[-1].startswith(" ↵ Open  u Upload  e Update  w Get  d Delete")


@pytest.mark.parametrize("theme", ["dame-dark", "dame-light"])
async def test_every_tone_can_be_read(store: FakeStore, theme: str) -> None:
    async with dashboard(store) as d:
        d.app.theme = theme
        await d.pilot.pause()
        table = d.table("artifacts")
        ground = table.background_colors[1]
        for tone in filter(None, TONES):
            color = table.get_component_rich_style(f"tone--{tone}").color
            assert color is not None
            assert contrast(Color.from_rich_color(color), ground) >= 4.5, tone


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio as WCAG defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: Color) -> float:
    parts = [value / 255 for value in color.rgb]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


async def test_the_keys_offered_are_those_that_do_something(store: FakeStore) -> None:
    async with dashboard(store, (200, 60)) as d:
        await d.until_shown("d Delete", "q Quit")
        assert "f Fail" not in d.text()
        await d.press("2")
        await d.until_shown("f Fail", "D Drain")
        assert "d Delete" not in d.text()
        assert "r Recover" not in d.text()
        await d.press("enter")
        await d.until_shown("esc Back")
        assert "q Quit" not in d.text()
        await d.press("colon")
        await d.until_shown("tab Complete")
        assert "f Fail" not in d.text().splitlines()[-1]
