"""The filter of a panel: what stays in view while someone types."""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(text: str, filter: str) -> bool:
    """Whether a text passes: every word of the filter occurs in it, or fits it where the word is a glob (* ? [).

    A word that begins with ! must not. Capital letters count only in a word that has some.
    """
    return all(_word_matches(text, word) for word in filter.split())


def _word_matches(text: str, word: str) -> bool:
    if word.startswith("!") and len(word) > 1:
        return not _word_matches(text, word[1:])
    if word == word.lower():
        text = text.lower()
    if any(char in word for char in "*?["):
        return fnmatchcase(text, word)
    return word in text
