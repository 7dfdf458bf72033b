"""The token: made once, kept, closed to others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import DirectoryFailure
from core.token_file import has_token, make_token


def test_a_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "auth_token"
    assert not has_token(path)
    assert make_token(path)
    token = path.read_text()
    assert len(token) == 64 and int(token, 16)
    assert path.stat().st_mode & 0o777 == 0o600
    assert has_token(path)
    assert not make_token(path)
    assert path.read_text() == token
    assert [entry.name for entry in path.parent.iterdir()] == ["auth_token"]


def test_of_two_that_are_made_at_once_the_first_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "auth_token"
    link = os.link

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        with monkeypatch.context() as another:
            another.setattr(os, "getpid", lambda: 1)
            assert make_token(path)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert not make_token(path)
    assert has_token(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["auth_token"]


def test_two_clusters_have_different_tokens(tmp_path: Path) -> None:
    make_token(tmp_path / "a")
    make_token(tmp_path / "b")
    assert (tmp_path / "a").read_text() != (tmp_path / "b").read_text()


def test_an_empty_file_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "auth_token").touch()
    assert not has_token(tmp_path / "auth_token")
    assert make_token(tmp_path / "auth_token")
    assert has_token(tmp_path / "auth_token")


def test_a_token_that_can_not_be_read_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "auth_token").mkdir()
    with pytest.raises(DirectoryFailure, match="auth_token"):
        has_token(tmp_path / "auth_token")
