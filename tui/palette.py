"""The command palette, over the same registry and bindings as the command bar and the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from core.verbs import VERBS
from tui.screens.frame import FrameScreen

if TYPE_CHECKING:
    from tui.app import DashboardApp


class DameCommands(Provider):
    """Every verb, put into the command bar to be finished there, and every key's action."""

    def _entries(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        app = cast("DashboardApp", self.app)
        for verb in VERBS.values():
            yield verb.usage, verb.summary, partial(app.prepare_command, verb)
        screen = self.screen
        if isinstance(screen, FrameScreen):
            for active in screen.active_bindings.values():
                binding = active.binding
                if active.enabled and binding.tooltip and active.node is screen:
                    yield binding.description, binding.tooltip, partial(app.run_key, screen, binding.action)

    async def discover(self) -> Hits:
        for title, text, run in self._entries():
            yield DiscoveryHit(Content(title), run, text=title, help=text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, text, run in self._entries():
            score = max(matcher.match(title), 0.9 * matcher.match(text))
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=text)
