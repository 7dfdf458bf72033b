"""Help: the keys that work here, read from the live bindings, and the commands, read from the registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.binding import ActiveBinding, Binding, BindingType

from core.verbs import VERBS, Invocation, parse
from tui.lines import Line, Run, line, wrap
from tui.screens.report import ReportScreen
from tui.text import safe
from tui.words import NODE_GLYPHS

KEY_WIDTH = 14


def key_rows(bindings: Mapping[str, ActiveBinding]) -> list[tuple[str, str]]:
    """Each action once, with all its keys."""
    keys: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for key, active in bindings.items():
        name = active.binding.id
        if name is None:
            continue  # one of Textual's own, for what a mouse does anyway
        keys.setdefault(name, []).append(active.binding.key_display or shown_key(key))
        words[name] = active.binding.tooltip or active.binding.description
    return [(" ".join(dict.fromkeys(keys[name])), words[name]) for name in keys if words[name]]


SHOWN_KEYS = {"up": "↑", "down": "↓", "left": "←", "right": "→", "enter": "↵", "escape": "esc"}


def shown_key(key: str) -> str:
    return SHOWN_KEYS.get(key, key.replace("ctrl+", "^"))


def lines(bindings: Mapping[str, ActiveBinding], width: int) -> list[Line]:
    """The whole page."""
    page = [line(Run(" Keys here", "strong"))]
    page += _table(key_rows(bindings), width)
    page += [(), line(Run(" Commands, after :", "strong"))]
    page += _table(((verb.usage, verb.summary) for verb in VERBS.values()), width, 46 if width >= 90 else 0)
    page += [(), line(Run(" Filter, after /", "strong"))]
    page += _table(
        (("word", "what holds it stays"), ("*.jsonl", "a pattern with * ? ["), ("!word", "what holds it goes")), width
    )
    page += [(), line(Run(" Marks", "strong")), _marks()]
    page.append(line("   3/3 ok   2/3 UNDER   1/3 AT RISK   0/3 LOST: replicas of the chunk that is worst off"))
    return page


def _marks() -> Line:
    runs = [Run("   ")]
    for state, (glyph, tone) in NODE_GLYPHS.items():
        runs += [Run(f"{glyph} {state}", tone), Run("   ")]
    return tuple(runs)


def _table(rows: Iterable[tuple[str, str]], width: int, left: int = KEY_WIDTH) -> list[Line]:
    """Two columns; with a left width of 0 the right one goes below the left one."""
    shown: list[Line] = []
    for key, text in rows:
        if left and len(key) <= left:
            first, *rest = wrap(text, max(10, width - left - 5))
            shown.append(line(Run(f"   {key:<{left}} ", "accent"), first))
            shown += [line(f"{'':<{left + 4}}{piece}") for piece in rest]
        else:
            shown += [line(Run(f"   {piece}", "accent")) for piece in wrap(key, max(10, width - 5))]
            shown += [line(f"       {piece}") for piece in wrap(text, max(10, width - 9))]
    return shown


def verb_lines(verb: str, width: int) -> list[Line]:
    """What the registry says of one verb."""
    explained = _explain(verb)
    assert explained.verb.run is not None
    text = explained.verb.run(None, explained.arguments).text
    return [line(f" {piece}") for row in text.split("\n") for piece in wrap(safe(row), max(10, width - 2))]


def _explain(verb: str) -> Invocation:
    return parse(["help", *verb.split()])


class HelpScreen(ReportScreen):
    """Over the screen it explains."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss(None)", "Close", id="help.close", key_display="esc"),
    ]

    def __init__(self, bindings: Mapping[str, ActiveBinding], verb: str = "") -> None:
        """bindings: of the screen. verb: explain this one only; empty for all there is."""
        explained = dict(bindings)
        super().__init__(
            f"Help: {verb}" if verb else "Help",
            lambda width: verb_lines(verb, width) if verb else lines(explained, width),
        )
