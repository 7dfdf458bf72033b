"""Names that are allowed, alike, or match."""

from __future__ import annotations

import fnmatch

import pytest

from core.errors import InvalidRequest
from core.namenode.names import check_name, matcher, similar_names
from core.namenode.words import counted, listed, quoted, sized


@pytest.mark.parametrize(
    "name", ["a", "x" * 1024, "mit Leerzeichen", "日本語", "[bold]name[/]", "-v", "../etc", "e\u0301", "🦆"]
)
def test_names_that_are_allowed(name: str) -> None:
    check_name(name, 1024)


@pytest.mark.parametrize(
    "name",
    [
        *("", "x" * 1025, "a\nb", "a\tb", "\x1b[31m", "a\x00", "\x7f", "\x85"),
        *("a\u2028b", "a\u2029b", "\udc80", " a", "a ", "\u3000a"),
    ],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check_name(name, 1024)
    assert refusal.value.message.isprintable()


def test_similar_names_prefer_another_case_and_are_at_most_three() -> None:
    names = ["report", "Report", "reports", "report-1", "other"]
    assert similar_names("REPORT", names)[:2] == ["report", "Report"]
    assert len(similar_names("reporl", names)) == 3
    assert similar_names("zzz", names) == []
    assert similar_names("x" * 500, names) == []


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("", "anything", True),
        ("port", "Report", True),
        ("PORT", "report", True),
        ("rep?rt", "report", True),
        ("rep*", "report", True),
        ("*port", "report.txt", False),
        ("[rs]eport", "seport", True),
        ("a.c", "abc", False),
        ("[", "a[b", False),
        ("straße", "STRASSE", True),
    ],
)
def test_filters(pattern: str, name: str, matches: bool) -> None:
    assert matcher(pattern)(name) is matches


def test_words() -> None:
    assert quoted("\x1b[0m\u202e") == "'\\x1b[0m\\u202e'"
    assert len(quoted("x" * 1000)) < 100
    assert [counted(1, "chunk"), counted(2, "chunk")] == ["1 chunk", "2 chunks"]
    assert counted(2, "copy", "copies") == "2 copies"
    assert [sized(0), sized(1536), sized(3 * 1024**4)] == ["0 B", "1.5 KiB", "3.0 TiB"]
    assert [listed([]), listed(["a"]), listed(["a", "b", "c"])] == ["", "a", "a, b and c"]
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"


def test_a_pattern_that_can_not_be_understood_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some versions of Python translate some of them to what they don't understand themselves."""
    monkeypatch.setattr(fnmatch, "translate", lambda _: "[z-a]")
    with pytest.raises(InvalidRequest, match="is no pattern"):
        matcher("[z-a]")
