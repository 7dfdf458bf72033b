"""The last line: the keys that work here and now, as many as fit, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.binding import Binding
from textual.keys import key_to_character
from textual.widgets import Input, TextArea

from tui.lines import Line, Run
from tui.widgets.toned import Canvas

MORE = "help"
"""Id of the binding that shows all keys; it is always shown, last."""


def footer(
    keys: Sequence[tuple[str, str, str]], width: int, more: tuple[str, str, str] | None
) -> list[tuple[str, str, str]]:
    """Those of the (key, label, action) triples that fit, in order, and the way to the rest."""
    last = [] if more is None else [more]
    reserve = sum(_cells(key) for key in last) + len(f" ({len(keys)})")
    shown: list[tuple[str, str, str]] = []
    used = 1
    for key in keys:
        if used + _cells(key) + reserve > width:
            break
        shown.append(key)
        used += _cells(key)
    hidden = len(keys) - len(shown)
    if more is not None and hidden:
        last = [(more[0], f"More ({hidden})", more[2])]
    return shown + last


def _cells(key: tuple[str, str, str]) -> int:
    return cell_len(key[0]) + cell_len(key[1]) + 3


def _types(binding: Binding) -> bool:
    """Whether the key would only be typed, where the focus is in an input."""
    character = "/" if binding.key == "slash" else key_to_character(binding.key)
    return character is not None and character.isprintable()


class KeyFooter(Canvas):
    """Reads the live bindings of its screen; a click runs the action."""

    _shown: Sequence[tuple[str, str, str]] = ()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _screen: self.redraw())

    def draw(self, width: int, height: int) -> Sequence[Line]:
        keys, more = self._keys()
        self._shown = footer(keys, width, more)
        runs = [Run(" ")]
        for key, label, _ in self._shown:
            runs += [Run(key, "accent"), Run(f" {label}  ", "dim")]
        return [tuple(runs)]

    def _keys(self) -> tuple[list[tuple[str, str, str]], tuple[str, str, str] | None]:
        keys: dict[str, tuple[str, str, str]] = {}
        more = None
        typing = isinstance(self.screen.focused, (Input, TextArea))
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not binding.show or not active.enabled or (typing and _types(binding)):
                continue
            entry = (self.app.get_key_display(binding), binding.description, binding.action)
            if binding.id == MORE:
                more = entry
            else:
                keys.setdefault(binding.id or binding.action, entry)
        return list(keys.values()), more

    def on_click(self, event: events.Click) -> None:
        start = 1
        for key in self._shown:
            if start <= event.x < start + _cells(key) - 1:
                self.run_worker(self.screen.run_action(key[2]), group="footer")
                return
            start += _cells(key)
