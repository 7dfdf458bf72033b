"""The screen at every size: what is there, that keys go somewhere, that nothing runs out of its line."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len

from tests.fakes import FakeStore
from tests.tui.driver import SIZES, dashboard


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
