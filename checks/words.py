"""Small helps for a verdict's words. Pure, standard library only."""

from __future__ import annotations

from collections.abc import Sequence


def count(n: int, what: str) -> str:
    """'1 topic', '1,200 topics'."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
