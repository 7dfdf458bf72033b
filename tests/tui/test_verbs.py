"""Every verb, by the command bar and by its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.verbs import VERBS
from tests.fakes import FakeStore
from tests.tui.driver import dashboard
from tui.lines import width_of
from tui.screens.artifact import ArtifactScreen
from tui.screens.node import NodeScreen
from tui.widgets.line_view import LineView


async def test_upload_by_line(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command('upload fresh "some text"')
        await d.until(lambda: "fresh" in d.keys("artifacts"))
        await d.until_shown("Uploaded fresh")
        assert store.get("fresh") == b"some text"


async def test_upload_of_a_file_by_line(store: FakeStore, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_bytes(b"\0\1\2" * 1000)
    async with dashboard(store) as d:
        await d.command(f"upload raw --file '{file}'")
        await d.until(lambda: "raw" in d.keys("artifacts"))
        assert store.get("raw") == b"\0\1\2" * 1000


async def test_upload_without_content_opens_the_dialog(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("upload later --replication 2")
        await d.until(lambda: d.screen == "ContentDialog")
        assert d.app.focused is not None
        assert d.app.focused.id == "text"
        await d.press("h", "i", "enter", "x", "ctrl+j")
        await d.until(lambda: "later" in d.keys("artifacts"))
        assert store.get("later") == b"hi\nx"
        assert store.info("later").replication == 2


async def test_upload_by_key(store: FakeStore) -> None:
    async with dashboard(store, (80, 24)) as d:
        await d.press("u")
        await d.until(lambda: d.screen == "ContentDialog")
        await d.type("by-key")
        await d.press("ctrl+j")
        await d.until(lambda: "by-key" in d.keys("artifacts"))
        assert store.get("by-key") == b""


async def test_the_upload_dialog_says_what_is_wrong(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("u")
        await d.until_shown("Give the artifact a name")
        await d.press("ctrl+j")
        assert d.screen == "ContentDialog"
        await d.type("x")
        d.app.screen.query_one("#replication").value = "many"
        await d.until_shown("Copies must be a whole number")
        d.app.screen.query_one("#replication").value = ""
        d.app.screen.query_one("#file").value = "/no/such/file"
        await d.until_shown("There is no such file")
        await d.press("escape")
        await d.until(lambda: d.screen == "DashboardScreen")
        assert store.calls["upload"] == 3  # the fixture's


async def test_update_by_line_and_by_key(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("update greeting 'hello again'")
        await d.until(lambda: store.info("greeting").version == 2)
        await d.until_shown("Updated greeting: version 2")
        await d.press("escape")
        assert d.table("artifacts").select("greeting")
        await d.press("e")
        await d.until(lambda: d.screen == "ContentDialog")
        await d.press("z", "ctrl+j")
        await d.until(lambda: store.info("greeting").version == 3)
        assert store.get("greeting") == b"z"


async def test_get_shows_a_preview_and_offers_to_write(store: FakeStore, tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    async with dashboard(store) as d:
        await d.command("get notes.txt")
        await d.until(lambda: d.screen == "PreviewScreen")
        await d.until_shown("one", "two", "notes.txt v1")
        await d.press("w")
        await d.until(lambda: d.screen == "GetDialog")
        d.app.focused.value = str(target)
        await d.press("enter")
        await d.until(target.exists)
        await d.until_shown("Wrote notes.txt")
        assert target.read_bytes() == b"one\ntwo\n"
        await d.press("escape")
        await d.until(lambda: d.screen == "DashboardScreen")


async def test_get_of_a_binary_shows_hexadecimal(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("get model.bin")
        await d.until_shown("00 01 02 03")


async def test_get_never_reads_more_than_the_preview(store: FakeStore) -> None:
    store.upload("large", b"x" * 1_000_000)
    async with dashboard(store) as d:
        await d.command("get large")
        await d.until_shown("the first 64 KiB of 977 KiB")
        assert store.calls["get"] == store.calls["copy_to"] == 0


async def test_get_with_output_by_line(store: FakeStore, tmp_path: Path) -> None:
    async with dashboard(store) as d:
        await d.command(f"get greeting --output {tmp_path / 'g'}")
        await d.until_shown("Wrote greeting")
        assert (tmp_path / "g").read_bytes() == b"hello world"


async def test_delete_and_undelete_by_line(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("delete greeting")
        await d.until(lambda: "greeting" not in d.keys("artifacts"))
        assert "press z" in d.notice
        await d.command("undelete greeting")
        await d.until(lambda: "greeting" in d.keys("artifacts"))


async def test_delete_by_key_asks_and_z_brings_it_back(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.press("d")
        await d.until(lambda: d.screen == "Confirm")
        assert d.app.focused is not None
        assert d.app.focused.id == "cancel"
        await d.press("d", "enter")
        await d.until(lambda: d.screen == "DashboardScreen")
        assert store.calls["delete"] == 0
        await d.press("d")
        await d.until(lambda: d.screen == "Confirm")
        await d.press("y")
        await d.until(lambda: "greeting" not in d.keys("artifacts"))
        await d.press("z")
        await d.until(lambda: "greeting" in d.keys("artifacts"))


async def test_purge_asks_and_the_trash_is_told_of(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("delete greeting")
        await d.until(lambda: "greeting" not in d.keys("artifacts"))
        await d.command("trash")
        await d.until_shown("GOES IN", "greeting")
        await d.press("escape")
        await d.command("purge greeting")
        await d.until(lambda: d.screen == "Confirm")
        assert store.calls["purge"] == 0
        await d.press("y")
        await d.until(lambda: "Purged greeting" in d.notice)
        assert store.trash() == []


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (120, 36)])
async def test_the_trash_is_a_row_for_each_artifact(store: FakeStore, size: tuple[int, int]) -> None:
    names = [f"runs/number-{number}/of/many/results.bin" for number in range(30)]
    for name in names:
        store.upload(name, b"12345678901")
        store.delete(name)
    async with dashboard(store, size) as d:
        await d.command("trash")
        await d.until(lambda: d.screen == "ReportScreen")
        await d.until_shown("NAME", "SIZE", "lts.bin", "11 B")
        page = d.app.screen.query_one("#page", LineView)
        assert len(page.lines) == 1 + len(names)
        assert all(width_of(row) <= page.inner_width for row in page.lines)
        if size[0] >= 80:
            await d.until_shown("GOES IN", "DELETED", "  3d  ")
        await d.press("escape")
        await d.until(lambda: d.screen == "DashboardScreen")


async def test_an_empty_trash_is_a_sentence(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("trash")
        await d.until(lambda: "The trash is empty." in d.notice)
        assert d.screen == "DashboardScreen"


async def test_a_question_takes_no_answer_too_early(store: FakeStore) -> None:
    now = [100.0]
    async with dashboard(store, guard_s=0.3, clock=lambda: now[0]) as d:
        await d.press("d")
        await d.until(lambda: d.screen == "Confirm")
        await d.press("y")
        assert d.screen == "Confirm"
        assert store.calls["delete"] == 0
        now[0] += 0.31
        await d.press("y")
        await d.until(lambda: store.calls["delete"] == 1)


async def test_list_focuses_artifacts_and_filters(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("list '*.txt'")
        await d.until(lambda: d.keys("artifacts") == ["notes.txt"])
        assert d.app.focused is d.table("artifacts")
        await d.command("list artifacts")
        await d.until(lambda: len(d.keys("artifacts")) == 3)


@pytest.mark.parametrize(
    ("line", "panel"),
    [
        ("nodes", "nodes"),
        ("list nodes", "nodes"),
        ("status", "cluster"),
        ("cluster status", "cluster"),
        ("events", "events"),
    ],
)
@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_lists_focus_their_panel(store: FakeStore, line: str, panel: str, size: tuple[int, int]) -> None:
    async with dashboard(store, size) as d:
        await d.command(line)
        await d.until(lambda: d.app.focused is not None and d.app.focused.id == panel)


async def test_info_history_and_enter_open_the_artifact(store: FakeStore) -> None:
    async with dashboard(store) as d:
        for line, panel in (("info greeting", "chunks"), ("history greeting", "versions")):
            await d.command(line)
            await d.until(lambda: isinstance(d.app.screen, ArtifactScreen))
            assert d.app.screen.current == panel
            await d.until_shown("newest of 1", "hello world")
            await d.press("escape")
            await d.until(lambda: d.screen == "DashboardScreen")
        d.app.front.go_to("artifacts")
        assert d.table("artifacts").select("model.bin")
        await d.press("enter")
        await d.until_shown("3 Chunks  10", "sn-04")
        await d.press("q")
        await d.until(lambda: d.screen == "DashboardScreen")
        assert d.table("artifacts").cursor_key == "model.bin"


async def test_node_by_line_and_by_key(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("node sn-02")
        await d.until(lambda: isinstance(d.app.screen, NodeScreen))
        await d.until_shown("/data/sn-02", "greeting")
        await d.press("escape")
        await d.until(lambda: d.screen == "DashboardScreen")
        d.app.front.go_to("nodes")
        await d.press("j", "j", "enter")
        await d.until_shown("/data/sn-03")


async def test_fail_and_recover_by_line_and_by_key(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("fail sn-03")
        await d.until_shown("✗ FAILED", "DEGRADED")
        await d.command("recover sn-03")
        await d.until_gone("✗ FAILED")
        await d.command("node sn-01")
        await d.until_shown("/data/sn-01")
        await d.press("f")
        await d.until(lambda: d.screen == "Confirm")
        await d.press("y")
        await d.until_shown("✗ FAILED")
        await d.press("r")
        await d.until_gone("✗ FAILED")


async def test_drain_and_undrain_by_key(store: FakeStore) -> None:
    async with dashboard(store) as d:
        d.app.front.go_to("nodes")
        await d.press("D")
        await d.until(lambda: d.screen == "Confirm")
        await d.press("y")
        await d.until_shown("◌ DRAIN 0%", "sn-01 is draining: its chunks")
        await d.press("D")
        await d.until_gone("◌ DRAIN")


async def test_scrub_and_help_by_line(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("scrub")
        await d.until(lambda: "Asked 4 storage nodes" in d.notice)
        await d.command("help upload")
        await d.until(lambda: d.screen == "HelpScreen")
        await d.until_shown("upload NAME (TEXT | --file PATH)")
        await d.press("escape")
        await d.command("restore-catalog --storage /mnt/one")
        await d.until_shown("run it in a shell: dame restore-catalog")
        await d.command("up")
        assert "shell" in d.notice


async def test_the_replication_changes_by_line(store: FakeStore) -> None:
    async with dashboard(store) as d:
        await d.command("replicate greeting 2")
        await d.until(lambda: "greeting is to have 2 copies of each chunk" in d.notice)
        assert store.history("greeting")[0].replication == 2


async def test_the_doctor_shows_its_report_over_the_screen(store: FakeStore) -> None:
    store.kill("sn-02")
    async with dashboard(store) as d:
        await d.command("doctor")
        await d.until_shown("1 warning, of 2 findings", "warning  nodes", "sn-02 does not serve.", "`recover sn-02`.")
        assert d.screen == "ReportScreen"
        await d.press("escape")
        store.break_connection()
        await d.command("doctor")
        await d.until(lambda: "does not answer" in d.notice, refresh=False)


async def test_fsck_shows_its_report_over_the_screen(store: FakeStore) -> None:
    store.upload("everywhere", b"four copies", replication=4)
    store.kill("sn-01")
    async with dashboard(store) as d:
        await d.command("fsck")
        await d.until(lambda: d.screen == "ReportScreen")
        await d.until_shown(
            "Not clean: 4 chunks are short of replicas", "3 of 4", "in everywhere", "sn-01 was not looked at"
        )
        await d.press("escape")
        await d.until(lambda: d.screen == "DashboardScreen")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_fsck_says_how_far_it_is_and_runs_once_at_a_time(store: FakeStore, size: tuple[int, int]) -> None:
    store.fsck_may_end.clear()
    async with dashboard(store, size) as d:
        await d.command("fsck --deep")
        await d.until_shown("fsck runs: checking chunks, 3 of 3; esc ends it.")
        await d.command("fsck")
        await d.until(lambda: "`fsck` is still under way" in d.notice)
        assert store.calls["fsck"] == 1
        store.fsck_may_end.set()
        await d.until(lambda: d.screen == "ReportScreen")
        await d.press("escape")
        await d.until(lambda: d.screen == "DashboardScreen")
        await d.command("fsck")
        await d.until(lambda: d.screen == "ReportScreen")
        assert "runs" not in d.notice


async def test_escape_ends_fsck_early(store: FakeStore) -> None:
    store.fsck_may_end.clear()
    async with dashboard(store) as d:
        await d.command("fsck --deep")
        await d.until_shown("fsck runs: checking chunks")
        await d.press("escape")
        await d.until(lambda: "fsck was cancelled before its end" in d.notice)
        assert d.screen == "DashboardScreen"
        await d.press("escape")
        assert d.notice == ""


async def test_leaving_ends_fsck_early(store: FakeStore) -> None:
    store.fsck_may_end.clear()
    async with dashboard(store) as d:
        await d.command("fsck")
        await d.until_shown("fsck runs: checking chunks")
        await d.press("q")
        await d.until(lambda: d.app.return_value == 0)
        assert not d.app.commands.lasting.cancel(), "it had been told already"


async def test_a_report_waits_until_a_question_is_answered(store: FakeStore) -> None:
    store.fsck_may_end.clear()
    async with dashboard(store) as d:
        await d.command("fsck")
        await d.until_shown("fsck runs: checking chunks")
        await d.press("d")
        await d.until(lambda: d.screen == "Confirm")
        store.fsck_may_end.set()
        await d.until(lambda: not d.app.commands.lasting.verb)
        await d.pilot.pause()
        assert d.screen == "Confirm"
        await d.press("n")
        await d.until(lambda: d.screen == "ReportScreen")


@pytest.mark.parametrize("line", ["exit", "quit"])
async def test_exit_by_line(store: FakeStore, line: str) -> None:
    async with dashboard(store) as d:
        await d.command(line)
        await d.until(lambda: d.app.return_value == 0)


@pytest.mark.parametrize("key", ["q", "ctrl+q", "ctrl+c"])
async def test_exit_by_key(store: FakeStore, key: str) -> None:
    async with dashboard(store) as d:
        await d.press(key)
        await d.until(lambda: d.app.return_value == 0)


@pytest.mark.parametrize(
    ("line", "sentence", "column"),
    [
        ("uplaod x y", "There is no verb 'uplaod'", 0),
        ("get", "NAME is missing", 3),
        ("list a b", "'b' is one word too many", 7),
        ("get greeting --version x", "must be a whole number", 23),
        ("upload 'open", "is not closed", 7),
    ],
)
async def test_a_wrong_line_stays_with_a_caret_under_the_word(
    store: FakeStore, line: str, sentence: str, column: int
) -> None:
    async with dashboard(store) as d:
        await d.command(line)
        assert sentence in d.notice
        rows = d.text().splitlines()
        bar = next(number for number, row in enumerate(rows) if row.startswith(f" ❯ {line}"))
        assert rows[bar + 1].index("▲") == 3 + column
        assert d.app.front.bar.input.value == line


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("get nothing --output /tmp/x", "There is no artifact 'nothing'"),
        ("info nothing", "There is no artifact 'nothing'"),
        ("delete nothing", "There is no artifact 'nothing'"),
        ("upload greeting x", "There is an artifact 'greeting' already"),
        ("node nowhere", "There is no storage node 'nowhere'"),
        ("upload x --file /no/such/file", "/no/such/file"),
        ("upload x y --replication 99", "replication"),
        ("upload x --file -", "no standard input"),
        ("get greeting --output /no/such/dir/file", "can't be written"),
    ],
)
async def test_a_refusal_is_one_sentence_that_stays_until_the_next_command(
    store: FakeStore, line: str, sentence: str
) -> None:
    async with dashboard(store) as d:
        await d.command(line)
        await d.until(lambda: sentence in d.notice)
        calls = store.calls["status"]
        await d.until(lambda: store.calls["status"] > calls + 2)
        assert sentence in d.notice
        await d.command("status")
        await d.until(lambda: sentence not in d.notice)


async def test_every_verb_is_offered_by_the_palette(store: FakeStore) -> None:
    async with dashboard(store, (120, 60)) as d:
        await d.press("ctrl+p")
        await d.until_shown("list [FILTER]", "upload NAME (TEXT | --file PATH)")
        await d.type("undrain")
        await d.until_shown("undrain NODE")
        await d.press("enter")
        await d.until(lambda: d.app.front.bar.input.value == "undrain ")


async def test_help_names_every_verb_and_key(store: FakeStore) -> None:
    async with dashboard(store, (120, 36)) as d:
        await d.press("question_mark")
        await d.until(lambda: d.screen == "HelpScreen")
        page = d.app.screen.query_one("#page")
        await d.until(lambda: bool(page.lines))
        text = "\n".join("".join(run.text for run in line) for line in page.lines)
        assert all(verb.usage.split()[0] in text for verb in VERBS.values())
        for words in ("Store a new artifact", "Freeze the picture", "Filter this panel", "Go to the next problem"):
            assert words in text
