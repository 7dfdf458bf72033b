"""Fixtures of the dashboard's tests: no blinking, no animation, no files of the person who runs them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from textual.widgets import Input

from tests.fakes import Clock, FakeStore


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _: None)


@pytest.fixture
def store() -> Iterator[FakeStore]:
    """A small cluster with a few artifacts."""
    clock = Clock()
    fake = FakeStore(4, now_ms=clock)
    for name, content in (
        ("greeting", "hello world"),
        ("model.bin", bytes(range(256)) * 40),
        ("notes.txt", "one\ntwo\n"),
    ):
        fake.upload(name, content, chunk_size_bytes=1024)
        clock.advance(60_000)
    yield fake
    fake.close()
