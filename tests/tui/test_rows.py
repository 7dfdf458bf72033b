"""The pure half of the panels: from a snapshot to rows and lines, without a screen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from core.errors import ClusterUnreachable
from core.model import ChunkInfo, Progress
from core.verbs import Result
from tests.fakes import FakeStore
from tui import words
from tui.filters import matches
from tui.lines import bar, clip, clip_line, clip_middle, fit, plain, sparkline, width_of, wrap
from tui.panels import artifacts, chunk_map, cluster, nodes, preview
from tui.panels.transfers import strip, transfer_line
from tui.poller import FetchFailed, Poller, SnapshotFetched, Watched
from tui.state import AppState, Snapshot
from tui.transfers import Meter, Transfer, TransferEnded, TransferProgressed, Transfers
from tui.widgets.key_footer import footer
from tui.widgets.live_table import Sort
from tui.widgets.notice import caret_lines, menu_lines


def picture(store: FakeStore) -> Snapshot:
    posted: list[object] = []
    Poller(store, posted.append).tick()
    assert isinstance(posted[0], SnapshotFetched)
    return posted[0].snapshot


# --- lines ---


@given(st.text(), st.integers(0, 30))
def test_what_is_fitted_fits(text: str, width: int) -> None:
    assert cell_len(clip(text, width)) <= width
    assert cell_len(clip_middle(text, width)) <= width
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, "right", middle=True)) == width


@given(st.text(st.characters(codec="ascii", categories=["L", "Zs"])), st.integers(2, 30))
def test_wrapping_loses_only_spaces(text: str, width: int) -> None:
    pieces = wrap(text, width)
    assert all(cell_len(piece) <= width for piece in pieces)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


def test_bars_and_sparklines_tell_something_from_nothing() -> None:
    assert bar(0, 4) == "░░░░"
    assert bar(0.001, 4) == "█░░░"
    assert bar(0.999, 4) == "███░"
    assert bar(1, 4) == "████"
    assert sparkline([0, 0], 3) == " ▁▁"
    assert sparkline([0, 5, 10], 3) == "▁▅█"


# --- filters ---


@pytest.mark.parametrize(
    ("text", "filter", "passes"),
    [
        ("logs/a.jsonl", "", True),
        ("logs/a.jsonl", "a.js", True),
        ("logs/a.jsonl", "A.JS", False),
        ("Logs/A", "logs", True),
        ("logs/a.jsonl", "*.jsonl", True),
        ("logs/a.jsonl", "*.json", False),
        ("logs/a.jsonl", "logs !a", False),
        ("logs/a.jsonl", "logs json", True),
        ("a[b", "a[b", True),
    ],
)
def test_filters(text: str, filter: str, passes: bool) -> None:
    assert matches(text, filter) is passes


# --- panels ---


def test_artifacts_are_ordered_by_any_column(store: FakeStore) -> None:
    shown = picture(store)
    for column in artifacts.SORTS:
        up = [row.key for row in artifacts.rows(shown, "", Sort(column))]
        down = [row.key for row in artifacts.rows(shown, "", Sort(column, reverse=True))]
        assert sorted(up) == sorted(down) == ["greeting", "model.bin", "notes.txt"]
    assert [row.key for row in artifacts.rows(shown, "", Sort("size"))] == ["notes.txt", "greeting", "model.bin"]
    assert [row.key for row in artifacts.rows(shown, "", Sort("age"))] == ["notes.txt", "model.bin", "greeting"]


def test_health_is_a_word(store: FakeStore) -> None:
    store.kill("sn-01")
    store.kill("sn-02")
    words = {row.cells[4].text for row in artifacts.rows(picture(store))}
    assert words <= {"3/3 ok", "2/3 UNDER", "1/3 AT RISK", "0/3 LOST"}
    assert words & {"2/3 UNDER", "1/3 AT RISK"}


def test_problems_come_worst_first(store: FakeStore) -> None:
    store.kill("sn-04")
    store.silence("sn-01")
    shown = picture(store)
    states = [node.state for key in nodes.problems(shown) for node in shown.nodes if node.id == key]
    assert states == ["down", "suspect"]


@given(st.integers(1, 220), st.integers(0, 40))
def test_the_cluster_panel_fits_any_size(width: int, height: int) -> None:
    shown = picture(FakeStore(2))
    assert len(cluster.lines(AppState(latest=shown, shown=shown), width, height)) <= height


def test_what_matters_fits_the_cluster_panel_at_its_narrowest() -> None:
    """48 cells, with all that makes lines long at once."""
    shown = picture(FakeStore(2))
    status = replace(
        shown.status,
        missing=12,
        at_risk=345,
        under_replicated=6_789,
        healing=12,
        healing_bytes=4 << 30,
        healing_bytes_per_s=212 << 20,
        healing_eta_ms=20_000,
        quarantined=5,
        trash=123,
        garbage_bytes=12 << 20,
        garbage_due_ms=shown.status.now_ms + 480_000,
        scrub_done=12_043,
        scrub_total=62_330,
        scrub_bytes_per_s=12 << 20,
        last_scrub_ms=shown.status.now_ms - 3 * 86_400_000,
    )
    shown = replace(shown, status=status)
    rows = [plain(clip_line(row, 48)) for row in cluster.lines(AppState(latest=shown, shown=shown), 48, 20)]
    for words_shown in (
        "missing 12  at risk 345",
        "◐ 12 copies, 4.0 GiB, 20s at 212 MiB/s",
        "5 in quarantine",
        "garbage 12 MiB, goes in 8m",
        "19% at 12 MiB/s; all of it 3d ago",
    ):
        assert any(words_shown in row for row in rows), rows
    narrow = [plain(clip_line(row, 40)) for row in cluster.lines(AppState(latest=shown, shown=shown), 40, 20)]
    assert any(row.endswith("◐ 12 copies, 4.0 GiB, 20s") for row in narrow), narrow


@given(st.integers(1, 5000))
def test_chunks_are_binned_above_forty(count: int) -> None:
    chunks = [ChunkInfo(index, "0" * 64, 1, ()) for index in range(count)]
    binned = chunk_map.bins(chunks)
    assert len(binned) <= chunk_map.ROWS_MAX
    assert [chunk for group in binned for chunk in group] == chunks


def test_the_chunk_map_shows_who_holds_what(store: FakeStore) -> None:
    rows = [plain(row) for row in chunk_map.lines(store.info("model.bin"), store.nodes())]
    assert rows[0].split()[2:6] == ["sn-01", "sn-02", "sn-03", "sn-04"]
    assert len(rows) == 11
    assert all(row.count("●") == 3 for row in rows[1:])
    store.upload("empty", b"")
    assert "no chunks" in plain(chunk_map.lines(store.info("empty"), store.nodes())[0])


@given(st.binary(max_size=400), st.integers(1, 100), st.booleans())
def test_any_content_can_be_looked_at(data: bytes, width: int, hexadecimal: bool) -> None:
    for row in preview.lines(data, width, hexadecimal=hexadecimal):
        assert plain(row).isprintable()


def test_a_character_cut_in_two_is_still_text() -> None:
    assert preview.as_text("wörter ä".encode()[:-1]) == "wörter "
    assert preview.as_text(b"\xff\xfe\xfd") is None
    assert preview.as_text(b"\0" * 100) is None


# --- transfers ---


@given(
    st.integers(20, 200),
    st.one_of(st.none(), st.integers(0, 10**13)),
    st.floats(0, 1),
    st.sampled_from(["running", "cancelling", "done", "failed", "cancelled"]),
    st.text(max_size=50),
)
def test_a_transfer_fits_its_line(width: int, total: int | None, part: float, state: str, name: str) -> None:
    done = int((total or 1000) * part)
    transfer = Transfer(1, "up", name, state, Progress(done, total, done, "transferring"), 1e6, "What came of it.")  # type: ignore[arg-type]
    assert width_of(transfer_line(transfer, max(40, width))) <= max(40, width)
    assert width_of(strip([transfer, transfer], max(40, width))) <= max(40, width)


def test_progress_is_reported_ten_times_a_second_at_most() -> None:
    now, reports = [0.0], []
    meter = Meter(lambda progress, rate: reports.append((progress.done_bytes, rate)), lambda: now[0])
    for step in range(1, 1001):
        now[0] = step / 1000
        meter(Progress(step * 1000, 10**6, 0, "transferring"))
    assert len(reports) <= 11
    assert reports[-1][1] == pytest.approx(1e6, rel=0.01)
    meter(Progress(10**6, 10**6, 0, "committing"))
    assert reports[-1][0] == 10**6


def test_only_the_newest_report_of_a_transfer_is_kept() -> None:
    first, second, other = (TransferProgressed(key, Progress(0, 1, 0, "starting"), 0) for key in (1, 1, 2))
    assert second.can_replace(first)
    assert not second.can_replace(other)


def test_ended_transfers_are_forgotten_in_time() -> None:
    posted: list[TransferEnded] = []

    def at_once(call: Callable[[], None]) -> None:
        call()

    transfers = Transfers(at_once, posted.append)  # type: ignore[arg-type]
    for _ in range(300):
        transfers.start("up", "x", lambda progress, cancel: Result("none", None))
        transfers.ended(posted.pop())
    assert len(transfers.all) <= 101


# --- the poller ---


def test_the_poller_reconnects_after_fifteen_silent_seconds(store: FakeStore) -> None:
    now, posted = [0.0], []
    poller = Poller(store, posted.append, clock=lambda: now[0])
    store.break_connection()
    for _ in range(16):
        poller.tick()
        now[0] += 1
    assert store.calls["reconnect"] == 1
    assert poller.pause_s == 5.0
    assert all(isinstance(message, FetchFailed) and isinstance(message.error, ClusterUnreachable) for message in posted)
    store.mend_connection()
    poller.tick()
    assert isinstance(posted[-1], SnapshotFetched)
    assert poller.pause_s == 1.0


def test_the_poller_asks_for_new_events_only(store: FakeStore) -> None:
    posted: list[SnapshotFetched] = []
    poller = Poller(store, posted.append)  # type: ignore[arg-type]
    poller.tick()
    poller.tick()
    assert posted[1].snapshot.events is posted[0].snapshot.events
    store.say("info", "news")
    poller.tick()
    assert [event.text for event in posted[2].snapshot.events][-1] == "news"
    assert len(posted[2].snapshot.events) == len(posted[0].snapshot.events) + 1


def test_a_fault_in_a_question_is_an_answer_not_the_end(store: FakeStore) -> None:
    posted: list[object] = []
    poller = Poller(store, posted.append)
    poller.watch("key", lambda _: 1 // 0)
    poller.tick()
    assert isinstance(posted[-1], Watched)
    assert "ZeroDivisionError" in str(posted[-1].answer.error)


def test_the_poller_stops_when_told(store: FakeStore) -> None:
    poller = Poller(store, lambda _: None, interval_s=60)
    thread = threading.Thread(target=poller.run)
    thread.start()
    poller.stop()
    thread.join(10)
    assert not thread.is_alive()


# --- the footer and the notice ---


@given(
    st.lists(
        st.tuples(st.text("ab", min_size=1, max_size=3), st.text("xyz", max_size=12), st.just("act")), max_size=20
    ),
    st.integers(20, 200),
)
def test_the_footer_fits_and_always_shows_the_way_to_the_rest(keys: list[tuple[str, str, str]], width: int) -> None:
    shown = footer(keys, width, ("?", "Help", "help"))
    assert 1 + sum(len(key) + len(label) + 3 for key, label, _ in shown) <= width + 2
    assert shown[-1][2] == "help"
    assert (shown[-1][1] == "Help") == (len(shown) == len(keys) + 1)


def test_the_caret_stands_under_its_word_or_over_its_sentence() -> None:
    assert plain(caret_lines("Wrong.", 4, 80)[0]) == "       ▲ Wrong."
    narrow = [plain(row) for row in caret_lines("A sentence of some length.", 4, 24)]
    assert narrow[0] == "       ▲"
    assert "".join(narrow[1:]).split() == ["A", "sentence", "of", "some", "length."]


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=30), st.integers(20, 100), st.data())
def test_the_chosen_candidate_is_in_view(words: list[str], width: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(words) - 1))
    text = plain(menu_lines(words, at, width)[0])
    assert f"▸{words[at]}" in text
    assert cell_len(text) <= width


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "0 B"),
        ({"garbage_bytes": 12 << 20, "garbage_due_ms": 480_000}, "12 MiB, goes in 8m"),
        ({"garbage_bytes": 12 << 20, "garbage_due_ms": -5}, "12 MiB, goes now"),
        ({"garbage_bytes": 3, "garbage_due_ms": 90_000_000, "unknown_bytes": 2}, "3 B, goes in 1d, 2 B of it unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_garbage_is_told_with_when_it_goes(facts: dict[str, int], said: str) -> None:
    status = replace(FakeStore().status(), now_ms=0, **facts)
    assert words.garbage(status) == said


def test_a_read_only_namenode_is_told_in_the_cluster_panel() -> None:
    store = FakeStore()
    store.read_only = "The NameNode failed 3 times within 600 s, so it only reads."
    shown = picture(store)
    text = "\n".join(map(plain, cluster.lines(AppState(latest=shown, shown=shown), 48, 20)))
    assert "READ-ONLY" in text
    assert "The NameNode failed 3 times" in text
