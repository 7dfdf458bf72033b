"""DAME's own two themes; Textual's others can be chosen from the palette."""

from __future__ import annotations

from textual.theme import Theme

FALLBACKS = {"dim": "#808a94"}
"""Colours of ours that Textual's own themes lack."""

DARK = Theme(
    name="dame-dark",
    primary="#5fafd7",
    secondary="#87afaf",
    accent="#5fd7d7",
    success="#87d787",
    warning="#ffaf5f",
    error="#ff6b6b",
    foreground="#d7dadf",
    background="#0f1216",
    surface="#161b21",
    panel="#232a33",
    dark=True,
    variables={"border-blurred": "#3a444f", "dim": "#8f9aa5", "input-selection-background": "#5fafd7 35%"},
)

LIGHT = Theme(
    name="dame-light",
    primary="#005f87",
    secondary="#4e6e6e",
    accent="#006d6d",
    success="#1d6b1d",
    warning="#8a4b00",
    error="#b00020",
    foreground="#1c2126",
    background="#fbfbf9",
    surface="#f1f1ee",
    panel="#e2e3df",
    dark=False,
    variables={"border-blurred": "#b9bdb8", "dim": "#5c6570", "input-selection-background": "#005f87 25%"},
)
