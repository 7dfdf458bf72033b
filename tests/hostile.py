"""Names that have torn screens, shells and parsers, for every test that shows or takes a name."""

from __future__ import annotations

HOSTILE_NAMES = (
    "model[/red]",
    "a[red]b",
    "[not found]",
    "x[@click=app.quit]y[/]",
    "[$primary]x",
    "[b",
    "ends with a backslash\\",
    "'quoted' \"twice\" $HOME `id`",
    "-rf",
    "--json",
    "two  spaces",
    "../../etc/passwd",
    "a/b/c",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "模型权重" * 20,
    "cafe\u0301",
    "family \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "n" * 1000,
)
"""Valid names that a careless screen or shell trips over."""

FORBIDDEN_NAMES = (
    "esc\x1b[31mred\x1b]0;title\x07",
    "c1\x9b31m",
    "nul\x00byte",
    "two\nlines",
    "tab\tbed",
    "line\u2028separator",
    " leading space",
    "trailing space ",
    "del\x7f",
    "\ud800surrogate",
)
"""Names that no store accepts. The screen must survive them all the same."""
