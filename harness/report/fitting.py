"""Documents that have a limit: what comes first is kept, and what was cut is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Measure = Callable[[str], int]
"""How much of the limit a text takes: its characters, or its bytes."""

_BREAK = "\n\n"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A piece of a document: items between an opening and a closing, which stand only where an item does.

    `what` names its items in the line that says what was cut: `causes that break`. A `firm` one is never cut, and has
    to be short.
    """

    items: tuple[str, ...]
    opening: str = ""
    closing: str = ""
    joint: str = "\n"
    what: str = ""
    firm: bool = False

    def text(self, items: Sequence[str]) -> str:
        """The block with these of its items."""
        return _BREAK.join(part for part in (self.opening, self.joint.join(items), self.closing) if part)


def fitted(blocks: Sequence[Block], *, limit: int, cut_line: Callable[[str], str], measure: Measure = len) -> str:
    """The blocks as one document within `limit`, those that come first kept first.

    `cut_line` makes the line at the end of what was cut, such as `12 of 40 causes that break`.
    """
    filled = [block for block in blocks if block.items]
    whole = _BREAK.join(block.text(block.items) for block in filled) + "\n"
    if measure(whole) <= limit:
        return whole
    # Room for the longest line that could be needed.
    longest = cut_line(", ".join(_cut(block, 0) for block in filled))
    room = limit - measure(longest) - measure(_BREAK)
    room -= sum(measure(block.text(block.items) + _BREAK) for block in filled if block.firm)
    parts, cut = [], []
    for block in filled:
        kept = list(block.items) if block.firm else _kept(block, room, measure)
        if kept and not block.firm:
            room -= measure(block.text(kept) + _BREAK)
        parts += [block.text(kept)] if kept else []
        cut += [_cut(block, len(kept))] if len(kept) < len(block.items) else []
    return _BREAK.join([*parts, *([cut_line(", ".join(cut))] if cut else [])]) + "\n"


def _kept(block: Block, room: int, measure: Measure) -> list[str]:
    """The items that fit; one that is too long hides none of those after it."""
    room -= measure(block.text(("",)) + _BREAK)
    kept = []
    for item in block.items:
        needed = measure(block.joint + item)
        if needed <= room:
            room -= needed
            kept.append(item)
    return kept


def _cut(block: Block, kept: int) -> str:
    return f"{len(block.items) - kept} of {len(block.items)} {block.what}"
