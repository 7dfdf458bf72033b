"""The command line: words as in a shell, one parser, helpful refusals, completion; and what each verb does."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ArtifactNotFound, Cancelled, OutputFailure, SourceFailure, UsageError
from core.model import NodeDetail, Progress, Steps
from core.units import human_bytes, parse_bytes, plural
from core.verbs import VERBS, Context, Result, complete, find, parse, parse_line, split, to_json
from tests.fakes import FakeStore
from tests.hostile import FORBIDDEN_NAMES, HOSTILE_NAMES


def refused(line: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_line(line)
    return caught.value


def given_to(line: str) -> dict[str, Any]:
    return {name: value for name, value in vars(parse_line(line).arguments).items() if value is not None}


# --- Words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  get   a ", [("get", 2), ("a", 8)]),
        ("get 'a b'", [("get", 0), ("a b", 4)]),
        ('get "a\\"b"', [("get", 0), ('a"b', 4)]),
        ("a'b'\"c\"d", [("abcd", 0)]),
        ("a\\ b", [("a b", 0)]),
        ("''", [("", 0)]),
        ("'\\n'", [("\\n", 0)]),
        ('"\\n"', [("\\n", 0)]),
        ("a\tb\nc", [("a", 0), ("b", 2), ("c", 4)]),
        ("a\u00a0b \u3000", [("a\u00a0b", 0), ("\u3000", 4)]),
        ("# a", [("#", 0), ("a", 2)]),
        ("a \0", [("a", 0), ("\0", 2)]),
    ],
)
def test_split(line: str, words: list[tuple[str, int]]) -> None:
    assert split(line) == words


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"))))
def test_whatever_is_quoted_comes_back(words: list[str]) -> None:
    assert [word for word, _ in split(shlex.join(words))] == words


@given(st.text(alphabet="ab '\"\\\n\r#$`|;\0\u00a0"))
def test_split_agrees_with_the_standard_library(line: str) -> None:
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(UsageError):
            split(line)
    else:
        assert [word for word, _ in split(line)] == expected


@pytest.mark.parametrize("line", ["get 'a", 'get "a b', "get a\\"])
def test_an_open_word_is_refused_where_it_begins(line: str) -> None:
    assert refused(line).details == {"position": 4}


def test_a_line_has_a_limit() -> None:
    assert len(parse_line(f"upload a {'x' * 10_000}").arguments.text) == 10_000
    assert "--file" in refused(f"upload a {'x' * 100_000}").message
    assert complete("get " + "x" * 100_000, 100_004, [], []).candidates == ()


# --- Commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ("list", "list"),
        ("list artifacts", "list"),
        ("ls", "list"),
        ("cluster status", "status"),
        ("list storage nodes", "nodes"),
        ("list nodes", "nodes"),
        ("storage nodes", "nodes"),
        ("nodes", "nodes"),
        ("node info sn-1", "node"),
        ("node sn-1", "node"),
        ("rm a", "delete"),
        ("cat a", "get"),
        ("put a b", "upload"),
        ("quit", "exit"),
        ("--json list nodes", "nodes"),
    ],
)
def test_every_way_to_say_it(line: str, verb: str) -> None:
    assert parse_line(line).verb.name == verb


def test_aliases_take_arguments_and_the_longest_wins() -> None:
    assert given_to("list artifacts model") == {"filter": "model"}
    assert given_to("list -- nodes") == {"filter": "nodes"}
    assert given_to("list nodesmith") == {"filter": "nodesmith"}


def test_each_phrase_names_one_verb() -> None:
    phrases = [phrase for verb in VERBS.values() for phrase in (verb.name, *verb.aliases)]
    assert len(phrases) == len(set(phrases))
    for verb in VERBS.values():
        for phrase in (verb.name, *verb.aliases):
            assert find(phrase.split()) == (verb, len(phrase.split()))


@pytest.mark.parametrize(
    "line",
    [
        "upload name text --replication 2 --json",
        "upload --replication 2 name --json text",
        "--json upload --replication=2 name text",
        "--replication 2 --json upload name text",
        "upload name --replication 2 text --json",
        "upload --json --replication 2 -- name text",
    ],
)
def test_options_stand_anywhere(line: str) -> None:
    assert given_to(line) == {"name": "name", "text": "text", "replication": 2}
    assert parse_line(line).json


def test_names_that_begin_with_a_dash_follow_two_dashes() -> None:
    assert given_to("upload -- -x --json") == {"name": "-x", "text": "--json"}
    assert not parse_line("upload -- -x --json").json
    assert given_to("get --version 2 -- -x") == {"name": "-x", "version": 2}
    assert given_to("upload name -- --") == {"name": "name", "text": "--"}
    assert given_to("upload - -") == {"name": "-", "text": "-"}


@pytest.mark.parametrize("word", ["", " ", "0", "1", "=", "@f", "-", "\0", "\x001", "\x1b[0m", "\u00b2", "\ud800"])
def test_a_word_is_never_taken_for_something_else(word: str) -> None:
    given = parse(["upload", word, word]).arguments
    assert (given.name, given.text) == (word, word)


@pytest.mark.parametrize("word", ["0", "1", "-", "--", "-1", "-x y", "--json", "--json=1", "--file", "--file=0", "-h"])
def test_what_looks_like_an_option_is_a_value_where_it_can_only_be_one(word: str) -> None:
    given = parse(["upload", f"--file={word}", "--", word]).arguments
    assert (given.name, given.file) == (word, word)


def test_the_last_of_several_values_counts() -> None:
    assert given_to("get a --version 1 --version=2") == {"name": "a", "version": 2}


@pytest.mark.parametrize(
    ("line", "verb", "json"),
    [
        ("--help", None, False),
        ("-h --json", None, True),
        ("--help --file", None, False),
        ("get a b c --help", "get", False),
        ("--json get --version x -h", "get", True),
        ("get --help --output", "get", False),
        ("get -x --output --help", "get", False),
        ("list nodes -h -- --json", "nodes", False),
    ],
)
def test_who_asks_for_help_gets_it_whatever_else_is_wrong(line: str, verb: str | None, json: bool) -> None:
    asked = parse_line(line)
    assert (asked.verb.name, asked.arguments.verb, asked.json) == ("help", verb, json)


def test_help_after_the_end_of_options_is_a_word() -> None:
    assert given_to("get -- --help") == {"name": "--help"}


def test_empty_text_is_content() -> None:
    assert given_to("upload name ''") == {"name": "name", "text": ""}


@pytest.mark.parametrize(
    ("line", "position", "says"),
    [
        ("", 0, "help"),
        ("lst", 0, "list"),
        ("  uplaod a b", 2, "upload"),
        ("cluster stauts", 0, "cluster status"),
        ("upload", 6, "NAME"),
        ("upload a", 8, "--file PATH"),
        ("upload a b c", 11, "quotes"),
        ("upload a b --file c", 18, "not both"),
        ("upload a --file", 9, "--file needs a value"),
        ("upload a --file --json", 9, "--file needs a value"),
        ("upload a b --replication x", 25, "whole number"),
        ("upload a b --replication 0", 25, "from 1 on"),
        ("upload a b --replication -1", 25, "from 1 on"),
        ("upload a b --chunk-size many", 24, "4MiB"),
        ("get a --vers 1", 6, "--version"),
        ("get a --version=1.5", 6, "whole number"),
        ("get a --json", 12, "--output"),
        ("get a --output ''", 15, "a path"),
        ("get -x", 4, "put --"),
        ("events --since 99999999999999999999", 15, "whole number"),
        ("events --since ²", 15, "whole number"),
        ("status now", 7, "too many"),
        ("node", 4, "NODE"),
        ("--json", 6, "verb is missing"),
        ("--file", 6, "verb is missing"),
        ("lst --help", 0, "list"),
        ("upload --file a --file", 16, "--file needs a value"),
        ("upload --file --file a b", 7, "--file needs a value"),
        ("upload a --replication -- 2", 9, "--replication needs a value"),
        ("--file a nodes", 0, "no option '--file'"),
        ("get -x a b", 4, "no option '-x'"),
        ("get a b -x", 8, "no option '-x'"),
        ("get a '-x y'", 6, "no option '-x y'"),
        ("list --json=x", 5, "no option '--json=x'"),
        ("status -- now", 10, "too many"),
    ],
)
def test_a_refusal_points_at_its_cause(line: str, position: int, says: str) -> None:
    error = refused(line)
    assert says in error.message
    assert error.details == {"position": position}


def test_words_without_a_line_have_no_position() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["lst"])
    assert caught.value.details == {}


def test_abbreviations_of_options_are_refused() -> None:
    assert "no option '--rep'" in refused("upload a b --rep 2").message


@given(
    st.lists(
        st.sampled_from(["get", "list", "upload", "-x", "--", "--json", "--help", "--file", "--version=2", "a", ""])
    )
)
def test_any_words_are_understood_or_refused_in_words(words: list[str]) -> None:
    try:
        parse(words)
    except UsageError as error:
        assert error.message.strip()


@given(st.text(max_size=40), st.integers(0, 40))
def test_completion_never_fails(line: str, cursor: int) -> None:
    completion = complete(line, min(cursor, len(line)), ["a", "it's"], ["sn-1"], Path("/nonexistent"))
    assert 0 <= completion.start <= len(line)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), ("4096", 4096), ("64k", 65536), ("4MiB", 4 * 2**20), ("1.5g", 3 * 2**29), ("10 MB", 10**7), ("12B", 12)],
)
def test_sizes_are_read(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "k", "-1", "4Q", "1e3", "0x10", "9" * 400, "1_000", "١", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


@given(st.integers(0, 2**60))
def test_a_size_that_is_shown_can_be_read(size_bytes: int) -> None:
    assert abs(parse_bytes(human_bytes(size_bytes)) - size_bytes) <= 0.06 * size_bytes


def test_plurals() -> None:
    assert plural(1, "copy", "copies") == "1 copy"
    assert plural(2, "copy", "copies") == "2 copies"
    assert plural(0, "chunk") == "0 chunks"
    assert plural(12345, "chunk") == "12,345 chunks"


# --- Help -------------------------------------------------------------------------------------------------------


def helped(line: str) -> Result:
    return parse_line(line).run(None)


def test_help_shows_every_verb() -> None:
    result = helped("help")
    assert all(f"\n  {name} " in f"\n{result.text}" for name in VERBS)
    assert [verb["name"] for verb in to_json(result.value)] == list(VERBS)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_help_explains_each_verb_by_every_name(verb: Any) -> None:
    explained = {helped(f"help {phrase}").text for phrase in (verb.name, *verb.aliases)}
    explained |= {helped(f"{verb.name} --help").text, helped(f"{verb.name} -h").text}
    (text,) = explained
    assert text.startswith(verb.usage)
    assert all(argument.help in text for argument in verb.arguments)


@pytest.mark.parametrize("example", [line for verb in VERBS.values() for line in verb.examples])
def test_examples_are_understood(example: str) -> None:
    parse_line(example)


def test_help_for_what_is_no_verb() -> None:
    with pytest.raises(UsageError, match="'no such verb'"):
        helped("help no such verb")


def test_an_option_may_be_given_several_times() -> None:
    assert given_to("restore-catalog") == {"storage": (), "older": False}
    assert given_to("restore-catalog --storage a --json --storage=b") == {
        "storage": ("a", "b"),
        "older": False,
    }
    assert refused("restore-catalog --storage").message == "--storage needs a value: --storage DIR."
    assert refused("restore-catalog a").details == {"position": 16}
    assert "--storage" in complete("restore-catalog --storage a --s", 31, [], []).candidates


def test_usage() -> None:
    assert VERBS["restore-catalog"].usage == "restore-catalog [--storage DIR ...] [--older]"
    assert VERBS["get"].usage == "get NAME [--version N] [--output PATH]"
    assert (
        VERBS["upload"].usage
        == "upload NAME (TEXT | --file PATH) [--replication N] [--chunk-size BYTES] [--keep-versions N]"
    )
    assert VERBS["list"].usage == "list [FILTER]"


# --- What verbs do ----------------------------------------------------------------------------------------------


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(FakeStore(), directory=tmp_path)


def do(context: Context, line: str) -> Result:
    return parse_line(line).run(context)


def test_upload_and_update_tell_what_they_stored(context: Context) -> None:
    result = do(context, "upload a 'hello world' --chunk-size 4 --replication 2")
    assert (result.kind, result.value.version, result.value.chunks) == ("version", 1, 3)
    assert result.text == "Uploaded a: version 1, 11 B in 3 chunks, 2 copies each."
    assert do(context, "update a ''").text == "Updated a: version 2, empty."
    assert context.store.get("a", 1) == b"hello world"
    assert context.store.get("a") == b""


def test_upload_warns_of_what_was_not_as_asked(context: Context) -> None:
    for node in ("sn-01", "sn-02"):
        do(context, f"fail {node}")
    result = do(context, "upload a text")
    assert len(result.warnings) == 1
    assert result.warnings == result.value.warnings


def test_upload_of_files_and_of_standard_input(context: Context, tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(b"\xff\x00")
    do(context, "upload relative --file 'a file'")
    do(context, f"upload absolute --file '{tmp_path}/a file'")
    context.stdin = io.BytesIO(b"piped")
    do(context, "upload piped --file -")
    read = context.store.get
    assert (read("relative"), read("absolute"), read("piped")) == (b"\xff\x00", b"\xff\x00", b"piped")


def test_a_tilde_is_the_home_directory(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "f").write_bytes(b"home")
    (tmp_path / "~no-such-user").write_bytes(b"odd")
    do(context, "upload a --file ~/f")
    do(context, "upload b --file ~no-such-user")
    assert (context.store.get("a"), context.store.get("b")) == (b"home", b"odd")


def test_sources_that_can_not_be_read(context: Context) -> None:
    with pytest.raises(SourceFailure):
        do(context, "upload a --file missing")
    with pytest.raises(SourceFailure):
        do(context, "upload a --file .")
    with pytest.raises(UsageError, match="standard input"):
        do(context, "upload a --file -")
    assert context.store.list() == []


def test_get_gives_bytes_or_writes_them(context: Context, tmp_path: Path) -> None:
    do(context, "upload a one")
    do(context, "update a two")
    result = do(context, "get a")
    assert (result.kind, result.value) == ("content", b"two")
    assert do(context, "get a --version 1").value == b"one"
    written = do(context, "get a --version 1 --output out")
    assert to_json(written.value) == {"name": "a", "version": 1, "size_bytes": 3, "output": str(tmp_path / "out")}
    assert (tmp_path / "out").read_bytes() == b"one"
    context.stdout = io.BytesIO()
    assert do(context, "get a").kind == "none"
    assert context.stdout.getvalue() == b"two"


def test_get_to_a_directory_is_refused(context: Context) -> None:
    do(context, "upload a one")
    with pytest.raises(OutputFailure):
        do(context, "get a --output .")


def test_delete_and_undelete(context: Context) -> None:
    do(context, "upload a one")
    assert do(context, "delete a").value.name == "a"
    with pytest.raises(ArtifactNotFound):
        do(context, "get a")
    assert do(context, "undelete a").value.version == 1
    assert do(context, "get a").value == b"one"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("list", "artifacts"),
        ("history a", "versions"),
        ("info a --version 1", "info"),
        ("status", "status"),
        ("nodes", "nodes"),
        ("node sn-01", "node"),
        ("fail sn-01", "node_info"),
        ("recover sn-01", "node_info"),
        ("drain sn-01", "node_info"),
        ("undrain sn-01", "node_info"),
        ("scrub", "text"),
        ("fsck", "fsck"),
        ("fsck --repair --deep", "fsck"),
        ("events", "events"),
        ("events --since 1", "events"),
    ],
)
def test_every_answer_says_its_kind_and_becomes_json(context: Context, line: str, kind: str) -> None:
    do(context, "upload a one")
    result = do(context, line)
    assert result.kind == kind
    json.dumps(to_json(result.value))


def test_a_node_in_json_is_its_row_and_what_is_on_it(context: Context) -> None:
    do(context, "upload a one --replication 4")
    detail = do(context, "node sn-02").value
    assert isinstance(detail, NodeDetail)
    facts = to_json(detail)
    assert (facts["name"], facts["state"], facts["artifacts_total"]) == ("sn-02", "up", 1)
    assert [dict(row) for row in facts["artifacts"]] == [{"name": "a", "version": 1, "chunks": 1}]
    assert "node" not in facts


def test_contract_keys(context: Context) -> None:
    do(context, "upload a text")
    (row,) = to_json(do(context, "list").value)
    assert set(row) == {"name", "version", "size_bytes", "chunks", "replication", "health", "digest", "modified_ms"}
    status = to_json(do(context, "status").value)
    assert {"nodes", "artifacts", "versions", "chunks", "stored_bytes", "capacity_bytes", "under_replicated"} <= set(
        status
    )
    assert {"missing", "healing", "epoch"} <= set(status)
    node = to_json(do(context, "nodes").value)[0]
    assert {"id", "name", "state", "host", "chunks", "used_bytes", "capacity_bytes", "heartbeat_age_ms", "pid"} <= set(
        node
    )
    (chunk,) = to_json(do(context, "info a").value)["chunks"]
    assert set(chunk) == {"index", "id", "size_bytes", "replicas"}


def test_bytes_never_become_json() -> None:
    with pytest.raises(AssertionError):
        to_json(b"bytes")


def test_transfers_report_and_can_be_cancelled(context: Context) -> None:
    seen: list[Progress] = []
    context.progress = seen.append
    do(context, "upload a text")
    assert seen[-1].stage == "done"
    context.cancel.set()
    with pytest.raises(Cancelled):
        do(context, "update a text")
    with pytest.raises(Cancelled):
        do(context, "get a")


def test_scrub_waits_where_somebody_does(context: Context) -> None:
    do(context, "upload a one")
    asked = do(context, "scrub")
    assert to_json(asked.value) == {"nodes": 4}
    context.attended = True
    seen: list[Steps] = []
    context.steps = seen.append
    waited = do(context, "scrub")
    assert (waited.text, waited.failed) == ("3 replicas re-read, all good.", False)
    assert (seen[-1].done, seen[-1].total) == (3, 3)
    assert to_json(do(context, "scrub --no-wait").value) == {"nodes": 4}
    context.attended = False
    assert to_json(do(context, "scrub --wait").value)["finished"] == 4
    with pytest.raises(UsageError, match="not both"):
        do(context, "scrub --wait --no-wait")


def test_fsck_says_in_one_sentence_what_is_wrong(context: Context) -> None:
    store = context.store
    assert isinstance(store, FakeStore)
    do(context, "upload a one --replication 4")
    clean = do(context, "fsck")
    assert (clean.failed, clean.text) == (False, "Clean: 1 chunk, and every one is where it should be.")
    store.kill("sn-01")
    found = do(context, "fsck")
    assert (found.failed, found.value.clean) == (True, False)
    assert found.text == "Not clean: 1 chunk is short of replicas; `fsck --repair` does what can be done."
    assert do(context, "fsck --repair").text == "Not clean: 1 chunk is short of replicas."


def test_a_scrub_goes_on_when_nobody_waits_any_more(context: Context) -> None:
    do(context, "upload a one")
    context.cancel.set()
    assert "goes on" in do(context, "scrub --wait").text


@pytest.mark.parametrize("line", ["scrub --wait=1", "scrub --wait yes", "scrub --waits"])
def test_a_switch_takes_no_value(line: str) -> None:
    with pytest.raises(UsageError):
        parse_line(line)


def test_switches_stand_anywhere() -> None:
    assert given_to("--wait scrub") == given_to("scrub --wait") == {"wait": True, "no_wait": False}


def test_the_number_of_copies_is_a_word_of_its_own() -> None:
    assert given_to("replicate a 2") == {"name": "a", "replication": 2}
    assert "N must be a whole number from 1 on" in refused("replicate a none").message
    assert VERBS["replicate"].usage == "replicate NAME N"


def test_what_changes_something_is_marked() -> None:
    mutating = {
        "upload",
        "update",
        "replicate",
        "delete",
        "undelete",
        "purge",
        "resume",
        "fail",
        "recover",
        "drain",
        "undrain",
        "forget",
        "scrub",
        "fsck",
    }
    assert {verb.name for verb in VERBS.values() if verb.mutates} == mutating
    assert {verb.name for verb in VERBS.values() if verb.transfers} == {"upload", "update", "get"}
    assert {verb.name for verb in VERBS.values() if not verb.needs_store} == {
        "help",
        "doctor",
        "up",
        "exit",
        "restore-catalog",
    }
    assert {verb.name for verb in VERBS.values() if verb.run is None} == {"doctor", "up", "exit", "restore-catalog"}


# --- Completion -------------------------------------------------------------------------------------------------

ARTIFACTS = ("model", "model 2", "it's", "-rf", "\u202egnp")
NODES = ("sn-01", "sn-02")


def completed(line: str, directory: Path = Path("/nonexistent")) -> tuple[int, tuple[str, ...]]:
    found = complete(line, len(line), ARTIFACTS, NODES, directory)
    return found.start, found.candidates


@pytest.mark.parametrize(
    ("line", "start", "candidates"),
    [
        ("sta", 0, ("status",)),
        ("clu", 0, ("cluster status",)),
        ("cluster ", 8, ("status",)),
        ("li", 0, ("list", "list artifacts", "list nodes", "list storage nodes")),
        ("list st", 5, ("storage nodes",)),
        ("get mo", 4, ("model", "'model 2'")),
        ("get 'mo", 4, ("model", "'model 2'")),
        ("get model\\ ", 4, ("'model 2'",)),
        ("get it", 4, (shlex.quote("it's"),)),
        ("get -- -", 7, ("-rf",)),
        ("get model --", 10, ("--version", "--output", "--json")),
        ("get model --version 1 ", 22, ("--output", "--json")),
        ("get model --v", 10, ("--version",)),
        ("--json get mo", 11, ("model", "'model 2'")),
        ("node sn", 5, ("sn-01", "sn-02")),
        ("fail sn-02", 5, ("sn-02",)),
        ("help und", 5, ("undelete", "undrain")),
        ("undelete mo", 9, ()),
        ("exit ", 5, ("--json",)),
        ("scrub ", 6, ("--wait", "--no-wait", "--json")),
        ("scrub --wait ", 13, ("--no-wait", "--json")),
        ("nonsense ", 9, ()),
    ],
)
def test_completion(line: str, start: int, candidates: tuple[str, ...]) -> None:
    assert completed(line) == (start, candidates)


def test_a_name_that_looks_like_an_option_brings_its_dashes() -> None:
    _, candidates = completed("get ")
    assert "-- -rf" in candidates
    assert given_to("get -- -rf") == {"name": "-rf"}


def test_a_name_that_can_not_be_shown_is_not_offered() -> None:
    assert not any("\u202e" in candidate for candidate in completed("get ")[1])


def test_only_what_is_before_the_cursor_counts() -> None:
    assert complete("get mo --version 1", 6, ARTIFACTS, NODES).candidates == ("model", "'model 2'")


def test_paths(tmp_path: Path) -> None:
    (tmp_path / "sub dir").mkdir()
    (tmp_path / "sub dir" / "inner").touch()
    (tmp_path / "some").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "bell\x07").touch()
    assert completed("upload a --file ", tmp_path) == (16, ("some", "'sub dir/'"))
    assert completed("upload a --file s", tmp_path) == (16, ("some", "'sub dir/'"))
    assert completed("upload a --file .h", tmp_path) == (16, (".hidden",))
    assert completed("upload a --file 'sub dir/'", tmp_path) == (16, ("'sub dir/inner'",))
    assert completed(f"get a --output={tmp_path}/so") == (15, (f"{tmp_path}/some",))
    assert completed("get a --output nowhere/", tmp_path) == (15, ())


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_a_completed_name_is_the_name_that_was_meant(name: str) -> None:
    for candidate in complete("delete ", 7, [name], ()).candidates:
        assert given_to(f"delete {candidate}") == {"name": name}


def test_there_is_a_limit_to_what_is_offered() -> None:
    assert len(complete("get ", 4, [f"name-{number}" for number in range(10_000)], ()).candidates) == 200


def test_forbidden_names_are_never_offered() -> None:
    offered = complete("get ", 4, FORBIDDEN_NAMES, ()).candidates
    assert all(candidate.isprintable() for candidate in offered)
