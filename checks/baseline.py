"""What is usual: median and MAD (median absolute deviation) of a check's own past. Pure, standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

#: results from which anything is learnt; fewer are silence
LEAST = 14
#: weeks of the same hour from which that hour has a baseline of its own
LEAST_WEEKS = 4
#: MAD times this is the standard deviation of a normal distribution
SIGMA = 1.4826


@dataclass(frozen=True)
class Usual:
    """``middle`` ± ``spread``; ``n`` values stand behind it. ``weekly``: they are of this hour of this weekday."""

    middle: float
    spread: float
    n: int
    weekly: bool

    def off(self, value: float) -> float:
        """How many spreads a value lies above (or, negative, below) the middle."""
        return (value - self.middle) / self.spread

    def band(self, spreads: float) -> tuple[float, float]:
        return self.middle - spreads * self.spread, self.middle + spreads * self.spread


def usual(values: Sequence[float], weekly: Sequence[float], *, least: float = 1.0) -> Usual | None:
    """The baseline: of the same hour of the week once :data:`LEAST_WEEKS` weeks have it, else of all values once there
    are :data:`LEAST`, else None.

    Values that never moved have no MAD, and some weeks' have a small one by chance: the spread is at least a share of
    the middle, and at least ``least``.
    """
    if len(weekly) >= LEAST_WEEKS:
        return _of(weekly, 0.05, least, True)
    if len(values) >= LEAST:
        return _of(values, 0.02, least, False)
    return None


def _of(values: Sequence[float], share: float, least: float, weekly: bool) -> Usual:
    middle = median(values)
    mad = median(abs(v - middle) for v in values)
    return Usual(middle, max(SIGMA * mad, share * abs(middle), least), len(values), weekly)
