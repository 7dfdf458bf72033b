"""The command line: completion, ghost text, history, and where the focus goes."""

from __future__ import annotations

from pathlib import Path

from textual import events

from tests.fakes import FakeStore
from tests.tui.driver import Driver, dashboard
from tui.command_history import CommandHistory

KEY_NAMES = {":": "colon", "/": "slash"}


def line(d: Driver) -> str:
    return d.app.front.bar.input.value


async def test_tab_completes_verbs_names_and_nodes(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("colon", "u", "p", "l", "tab")
        await d.until(lambda: line(d) == "upload ")
        d.app.front.bar.put("get gr")
        await d.press("tab")
        await d.until(lambda: line(d) == "get greeting ")
        d.app.front.bar.put("node sn-0")
        await d.press("tab")
        await d.until_shown("sn-01", "sn-04")
        await d.press("tab")
        await d.until(lambda: line(d) == "node sn-01")
        await d.press("tab")
        await d.until(lambda: line(d) == "node sn-02")
        await d.press("shift+tab")
        await d.until(lambda: line(d) == "node sn-01")


async def test_tab_completes_paths(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "only one.txt").write_text("x")
    async with dashboard(store) as d:
        await d.press("colon")
        d.app.front.bar.put(f"upload x --file {tmp_path}/on")
        await d.press("tab")
        await d.until(lambda: "only one.txt" in line(d))
        await d.press("enter")
        await d.until(lambda: "x" in d.keys("artifacts"))


async def test_ghost_text_is_accepted_by_the_right_arrow(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("colon")
        await d.type("delete gre")
        await d.until_shown("delete greeting")
        await d.press("right")
        assert line(d) == "delete greeting"


async def test_names_no_one_can_type_are_not_offered(store: FakeStore) -> None:
    store.add_hostile_names()
    async with dashboard(store) as d:
        found = await d.app.complete_line("get ", 4)
        assert found.words
        assert all(word.isprintable() for word in found.words)


async def test_history_goes_back_and_forth_and_outlives_the_session(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "state" / "history.jsonl"
    async with dashboard(store, history=CommandHistory(path)) as d:
        await d.command("nodes")
        await d.command("list Greeting")
        await d.command("list Greeting")
        await d.press("colon", "x", "up")
        assert line(d) == "list Greeting"
        await d.press("up")
        assert line(d) == "nodes"
        await d.press("up")
        assert line(d) == "nodes"
        await d.press("down", "down")
        assert line(d) == "x"
    async with dashboard(store, history=CommandHistory(path)) as d:
        await d.press("colon", "up", "up")
        assert line(d) == "nodes"


def test_a_broken_history_file_costs_only_the_history(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'"good"\n{"not": "a line"}\n\xff\xfe\nbroken\n"also good"\n')
    assert list(CommandHistory(path).lines) == ["good", "also good"]
    directory = CommandHistory(tmp_path)
    directory.add("a line")
    assert list(directory.lines) == ["a line"]


async def test_escape_returns_the_focus_to_where_it_was(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("2", "colon", "n", "o", "escape")
        assert d.app.focused is d.table("nodes")
        await d.press("j")
        assert d.table("nodes").cursor_row == 1


async def test_the_focus_leaves_the_bar_once_a_command_is_understood(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("2")
        await d.command("scrub")
        assert d.app.focused is d.table("nodes")
        await d.press("colon", "enter")
        assert d.app.focused is d.table("nodes")
        await d.command("nonsense")
        assert d.app.focused is d.app.front.bar.input


async def test_the_key_that_opens_the_bar_begins_anew_in_it(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("colon", "colon", "n", "o", "enter")
        assert line(d) == "no"
        await d.press("colon", "h")
        assert line(d) == "h"
        await d.press("colon")
        assert line(d) == "h:"


async def test_letters_in_the_bar_are_letters(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("colon", *"quxdpz", "question_mark", "slash", "1")
        assert line(d) == "quxdpz?/1"
        assert d.screen == "DashboardScreen"


async def test_what_is_typed_right_after_the_colon_is_the_command(store: FakeStore) -> None:
    async with dashboard(store, (120, 36)) as d:
        # All at once, as a terminal delivers them over a slow line: no time between the keys to move the focus.
        for character in ":du/:x":
            d.app.post_message(events.Key(KEY_NAMES.get(character, character), character))
        await d.until(lambda: line(d) == "du/:x")
