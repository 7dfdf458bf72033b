"""The dashboard as a person has it: keys, lines and what is on the screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import get_ident
from time import monotonic
from typing import Any

from textual.pilot import Pilot

from core.store import ArtifactStore
from tests.fakes import FakeStore
from tui.app import DashboardApp
from tui.cluster_link import Connect
from tui.command_history import CommandHistory
from tui.widgets.live_table import LiveTable

WAIT_S = 10.0
POLL_S = 30.0
"""Longer than a test: pictures are fetched when a test waits for something, not while it acts."""
SIZES = ((40, 12), (80, 24), (120, 36), (200, 60))


class Driver:
    """One running dashboard on one fake store."""

    def __init__(self, app: DashboardApp, pilot: Pilot[int], store: FakeStore) -> None:
        self.app = app
        self.pilot = pilot
        self.store = store

    async def until(self, condition: Callable[[], bool], *, refresh: bool = True) -> None:
        """Wait for what must come, with a new picture or only the one that is there; show the screen if it does not."""
        end = monotonic() + WAIT_S
        while not condition():
            if monotonic() > end:
                raise AssertionError(f"It never came to pass; the screen shows:\n{self.text()}")
            if refresh:
                self.app.refresh_now()
            await self.pilot.pause(0.02)

    async def until_shown(self, *texts: str) -> None:
        await self.until(lambda: all(text in self.text() for text in texts))

    async def until_gone(self, text: str) -> None:
        await self.until(lambda: text not in self.text())

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type into the focused input, as a terminal's paste would, without going through key names."""
        focused = self.app.focused
        assert focused is not None
        focused.insert_text_at_cursor(text)  # type: ignore[attr-defined]
        await self.pilot.pause()

    async def command(self, line: str) -> None:
        """Write a line into the command bar and enter it."""
        await self.press("colon")
        await self.until(lambda: self.app.focused is self.app.front.bar.input, refresh=False)
        self.app.front.bar.put("")
        await self.type(line)
        await self.press("enter")

    def table(self, panel: str) -> LiveTable:
        return self.app.front.query_one(f"#{panel}", LiveTable)

    def keys(self, panel: str) -> list[str]:
        return [row.key for row in self.table(panel).rows]

    @property
    def notice(self) -> str:
        return self.app.front.notice.text

    @property
    def screen(self) -> str:
        return type(self.app.screen).__name__

    def text(self) -> str:
        """What is on the screen, line by line."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    def written(self) -> str:
        """Every character that would be sent to the terminal to draw the screen, styles aside."""
        return self.text()


class GuardedStore:
    """Passes every call on, unless it comes from the event loop's thread, where it would freeze the screen."""

    def __init__(self, store: FakeStore, loop_thread: int) -> None:
        self._guarded = store
        self._loop_thread = loop_thread

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._guarded, name)
        if callable(value):
            assert get_ident() != self._loop_thread, f"{name} was called on the event loop"
        return value


@asynccontextmanager
async def dashboard(
    store: FakeStore,
    size: tuple[int, int] = (120, 36),
    *,
    connect: Connect | None = None,
    history: CommandHistory | None = None,
    guard_s: float = 0.0,
    wait: bool = True,
    clock: Callable[[], float] = monotonic,
) -> AsyncIterator[Driver]:
    """A dashboard, connected and with its first picture, closed at the end."""
    guarded: Any = GuardedStore(store, get_ident())

    def connect_fake(on_stage: Callable[[str], None]) -> ArtifactStore:
        on_stage("opening the fake cluster")
        answer: ArtifactStore = guarded
        return answer

    app = DashboardApp(
        connect or connect_fake,
        examine=store.examine,
        history=history,
        guard_s=guard_s,
        poll_interval_s=POLL_S,
        clock=clock,
    )
    async with app.run_test(size=size, notifications=True, tooltips=True) as pilot:
        driver = Driver(app, pilot, store)
        if wait:
            await driver.until(lambda: app.state.shown is not None)
            await pilot.pause()
        yield driver
        store.unhang()
        store.slow_transfers(None)
