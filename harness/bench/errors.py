"""Errors that a person caused and can mend. Their messages say what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Wrong use or unreadable input. Nothing was written."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist, with the nearest that does."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"unknown {what} {name!r}. Did you mean {near[0]!r}?"
    return f"unknown {what} {name!r}. There are: {', '.join(names) or 'none'}."
