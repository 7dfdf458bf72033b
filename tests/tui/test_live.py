"""The picture lives: first paint, rows that move, a cluster that goes silent and comes back, transfers."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from core.errors import ClusterUnreachable
from core.store import ArtifactStore
from tests.fakes import FakeStore, Gate
from tests.tui.driver import Driver, dashboard
from tui.screens.artifact import ArtifactScreen
from tui.state import Link

# --- start ---


async def test_the_first_picture_is_there_before_the_cluster(store: FakeStore) -> None:
    go_on = threading.Event()

    def slow(on_stage: Callable[[str], None]) -> ArtifactStore:
        on_stage("storage nodes 2/4")
        assert go_on.wait(20)
        return store

    async with dashboard(store, (80, 24), connect=slow, wait=False) as d:
        await d.until_shown("1 Artifacts", "CONNECTING", "storage nodes 2/4", "❯")
        await d.command("upload x y")
        assert "not connected yet" in d.notice
        go_on.set()
        await d.until_shown("greeting", "LIVE")


async def test_a_failed_start_says_why_and_can_be_tried_again(store: FakeStore) -> None:
    tries = 0

    def second_time(on_stage: Callable[[str], None]) -> ArtifactStore:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ClusterUnreachable(
                "No cluster answers at ray://[red]nowhere[/red]:1; start it, or check the address."
            )
        return store

    async with dashboard(store, (80, 24), connect=second_time, wait=False) as d:
        await d.until_shown("No cluster answers at ray://[red]nowhere[/red]:1", "Retry")
        await d.press("r")
        await d.until_shown("greeting")


async def test_a_failed_start_can_be_left(store: FakeStore) -> None:
    def never(on_stage: Callable[[str], None]) -> ArtifactStore:
        raise ClusterUnreachable("No cluster answers.")

    async with dashboard(store, connect=never, wait=False) as d:
        await d.until_shown("No cluster answers")
        await d.press("escape")
        await d.until(lambda: d.app.return_value == 1)


# --- rows that move ---


async def test_the_cursor_stays_on_its_row_whatever_happens_to_the_others(store: FakeStore) -> None:
    for number in range(60):
        store.upload(f"item-{number:02}", bytes(number))
    luck = random.Random(7)
    async with dashboard(store, (80, 24)) as d:
        table = d.table("artifacts")
        assert table.select("item-30")
        for turn in range(25):
            names = [name for name in d.keys("artifacts") if name != "item-30"]
            store.delete(luck.choice(names))
            store.upload(f"{luck.choice('abcxyz')}-{turn:02}", bytes(luck.randrange(9000)))
            store.update(
                luck.choice(list({*names} & {item.name for item in store.list()})), bytes(luck.randrange(9000))
            )
            expected = store.calls["status"] + 1
            d.app.refresh_now()
            await d.until(lambda expected=expected: store.calls["status"] >= expected)  # type: ignore[misc]
            await d.press(luck.choice(["less_than_sign", "greater_than_sign", "I"]))
            await d.until(lambda: {item.name for item in store.list()} == {*d.keys("artifacts")})
            assert table.cursor_key == "item-30"
            assert table.rows[table.cursor_row].key == "item-30"
            assert "▌item-30" in d.text()


async def test_the_cursor_goes_to_a_neighbour_when_its_row_goes(store: FakeStore) -> None:
    async with dashboard(store) as d:
        assert d.table("artifacts").select("model.bin")
        store.delete("model.bin")
        await d.until(lambda: "model.bin" not in d.keys("artifacts"))
        assert d.table("artifacts").cursor_key == "notes.txt"


async def test_an_empty_cluster_says_what_to_do() -> None:
    store = FakeStore(0)
    async with dashboard(store) as d:
        await d.until_shown("No artifacts yet. Press u to upload one", "No storage node has registered yet")
        await d.press("d", "e", "w", "enter", "G")
        assert d.screen == "DashboardScreen"


async def test_the_filter_shows_in_the_title_and_escape_clears_it(store: FakeStore) -> None:
    async with dashboard(store, (80, 24)) as d:
        await d.press("slash")
        await d.type("note")
        await d.until(lambda: d.keys("artifacts") == ["notes.txt"])
        await d.press("enter")
        await d.until_shown("1/3  / note  esc clears")
        await d.press("2", "1")
        assert d.keys("artifacts") == ["notes.txt"]
        await d.press("escape")
        await d.until(lambda: len(d.keys("artifacts")) == 3)
        await d.press("slash")
        await d.type("zzz")
        await d.until_shown("None of 3 matches zzz")
        await d.press("escape")
        assert len(d.keys("artifacts")) == 3
        assert d.app.focused is d.table("artifacts")


async def test_pause_freezes_the_picture_not_the_data(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("p")
        await d.until_shown("PAUSED")
        store.upload("newcomer", "x")
        await d.until(lambda: d.app.state.latest is not None and len(d.app.state.latest.artifacts) == 4)
        assert "newcomer" not in d.keys("artifacts")
        await d.press("p")
        await d.until(lambda: "newcomer" in d.keys("artifacts"))


async def test_the_next_problem_is_one_key_away(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("exclamation_mark")
        assert "No problems" in d.notice
        store.kill("sn-02")
        store.kill("sn-03")
        await d.until_shown("✗ DOWN")
        await d.press("exclamation_mark")
        await d.until(lambda: d.app.focused is d.table("nodes"))
        first = d.table("nodes").cursor_key
        await d.press("exclamation_mark")
        assert d.table("nodes").cursor_key not in (None, first)
        await d.press("exclamation_mark")
        await d.until(lambda: d.app.focused is d.table("artifacts"))


# --- a cluster that goes silent ---


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (120, 36)])
async def test_a_broken_connection_shows_stale_keeps_the_picture_and_recovers(
    store: FakeStore, size: tuple[int, int]
) -> None:
    async with dashboard(store, size) as d:
        store.break_connection()
        await d.until_shown("STALE", "greeting")
        assert d.app.front.has_class("-stale")
        await d.press("j", "k")
        store.mend_connection()
        await d.until_shown("LIVE")
        await d.until(lambda: not d.app.front.has_class("-stale"))


async def test_a_hanging_cluster_shows_stale_and_freezes_nothing(store: FakeStore) -> None:
    now = [1000.0]
    async with dashboard(store, clock=lambda: now[0]) as d:
        store.hang()
        now[0] += 5
        d.app.tick()
        await d.until_shown("STALE 5s", "greeting")
        await d.press("j")
        assert d.table("artifacts").cursor_key == "model.bin"
        await d.command("scrub")
        await d.press("escape", "2")
        assert d.app.focused is d.table("nodes")
        store.unhang()
        await d.until_shown("LIVE")
        await d.until(lambda: "re-read" in d.notice)


async def test_a_detail_screen_says_when_its_artifact_is_gone(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("info greeting")
        await d.until_shown("hello world")
        store.delete("greeting")
        await d.until_shown("There is no artifact 'greeting'")
        await d.press("escape")
        await d.until(lambda: d.screen == "DashboardScreen")


async def test_a_detail_screen_follows_the_cluster(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("info greeting")
        await d.until_shown("newest of 1", "hello world")
        store.update("greeting", "bonjour")
        await d.until_shown("newest of 2", "bonjour")
        assert isinstance(d.app.screen, ArtifactScreen)


# --- transfers ---


async def held_upload(d: Driver, gate: Gate, name: str = "big") -> None:
    """An upload that waits half-way."""
    d.store.slow_transfers(gate)
    await d.command(f"upload {name} {'x' * 4000} --chunk-size 1000")
    await d.until(gate.reached.is_set)
    await d.until(lambda: any(transfer.progress.done_bytes for transfer in d.app.transfers.active))


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_progress_is_shown_and_the_end_too(store: FakeStore, size: tuple[int, int]) -> None:
    gate = Gate(2000)
    async with dashboard(store, size) as d:
        await held_upload(d, gate)
        await d.until_shown("big", "50%", "2.0 KiB/3.9 KiB")
        gate.open()
        await d.until_shown("Uploaded big")
        await d.until(lambda: "big" in d.keys("artifacts"))
        await d.press("escape", "5")
        await d.until_shown("✓ big")


async def test_x_cancels(store: FakeStore) -> None:
    gate = Gate(1000)
    async with dashboard(store) as d:
        await held_upload(d, gate)
        await d.press("escape", "x")
        await d.until(lambda: not d.app.transfers.active)
        assert [transfer.state for transfer in d.app.transfers.all.values()] == ["cancelled"]
        assert "big" not in {item.name for item in store.list()}


async def test_leaving_a_screen_cancels_nothing(store: FakeStore) -> None:
    gate = Gate(1000)
    async with dashboard(store) as d:
        await d.command("info greeting")
        await d.until(lambda: isinstance(d.app.screen, ArtifactScreen))
        await held_upload(d, gate)
        await d.press("escape", "escape")
        await d.until(lambda: d.screen == "DashboardScreen")
        assert len(d.app.transfers.active) == 1
        gate.open()
        await d.until(lambda: "big" in d.keys("artifacts"))


async def test_quitting_asks_while_a_transfer_runs(store: FakeStore) -> None:
    gate = Gate(1000)
    async with dashboard(store) as d:
        await held_upload(d, gate)
        await d.press("escape", "q")
        await d.until_shown("Quit while transfers run?")
        await d.press("n")
        await d.until(lambda: d.screen == "DashboardScreen")
        assert d.app.transfers.active
        await d.press("ctrl+c")
        await d.until_shown("Quit while transfers run?")
        await d.press("y")
        await d.until(lambda: d.app.return_value == 0)
        assert [transfer.state for transfer in d.app.transfers.all.values()] == ["cancelled"]


async def test_two_transfers_run_at_once_and_the_chosen_one_is_cancelled(store: FakeStore) -> None:
    gate = Gate(1000)
    async with dashboard(store) as d:
        await held_upload(d, gate, "one")
        await d.command(f"upload two {'y' * 4000} --chunk-size 1000")
        await d.until(lambda: len(d.app.transfers.active) == 2)
        await d.press("escape", "5")
        await d.until(lambda: len(d.keys("transfers")) == 2)
        assert d.table("transfers").select("2")
        await d.press("x")
        await d.until(lambda: d.app.transfers.all[2].state == "cancelled")
        assert d.app.transfers.all[1].active
        gate.open()
        await d.until(lambda: "one" in d.keys("artifacts"))


async def test_a_paused_view_is_not_called_live(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("p")
        assert d.app.state.link(d.app.clock()) is Link.PAUSED
        store.break_connection()
        await d.until_shown("STALE")


async def test_the_cluster_panel_says_how_old_the_checkpoint_is(store: FakeStore) -> None:
    async with dashboard(store, (140, 60)) as d:
        await d.press("3")
        await d.until_shown("checkpoint 12s ago, 3 edits since")
        store.checkpoint_age_ms = None
        await d.until_shown("checkpoint none yet")


READ_ONLY = (
    "The NameNode failed 3 times within 10 min, last at `commit_upload` (AssertionError: a chunk has no holder), so it"
    " only reads: nothing is stored, deleted or copied. It takes changes again by itself when 10 min have passed, or at"
    " once after `resume`. Please report this."
)


@pytest.mark.parametrize("size", [(80, 24), (110, 24), (120, 36)])
async def test_a_read_only_namenode_leaves_room_for_the_rest(store: FakeStore, size: tuple[int, int]) -> None:
    """The note is short; all of the reason is at the panel's end, by scrolling where it is small."""
    store.read_only = READ_ONLY
    async with dashboard(store, size) as d:
        await d.press("3")
        await d.until(lambda: "Nothing new is stored" in d.text(), refresh=False)
        await d.until_shown("READ-ONLY", "capacity", "stored", "nodes")
        await d.press("end")
        await d.until_shown("once after `resume`", "Please report this.")
