"""What a URL asks for, read once for all pages: depth, switches, what was grown, filters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from errors import Invalid

#: what results can be filtered by, as the API names it
FILTERS = ("type", "kind", "system", "environment", "owner", "tag", "health")
DIRECTIONS = ("upstream", "downstream")


@dataclass(frozen=True)
class Ask:
    """A canvas page's question. ``depth`` None: to the end."""

    node: str = ""
    up: int = 1
    down: int = 1
    depth: int | None = None
    direction: str = "downstream"
    jobs: bool = True
    group: bool = False
    whole: bool = False
    as_of: str = ""
    grow: tuple[tuple[str, str], ...] = ()
    also: tuple[str, ...] = ()
    filters: Mapping[str, list[str]] = field(default_factory=dict)


def read(params: Mapping[str, Any] | None) -> Ask:
    """The question in a page's parameters ({name: value or [values]}); :class:`errors.Invalid` names what is wrong."""
    given = {k: [str(x) for x in (v if isinstance(v, list) else [v])] for k, v in (params or {}).items()}
    grown = []
    for text in given.get("grow", []):
        node, _, direction = text.partition(":")
        for one in DIRECTIONS if direction == "both" else (direction,):
            if one not in DIRECTIONS:
                raise Invalid(
                    f"grow is {text!r}", field="grow", hint="a node's id, a colon, upstream or downstream"
                )
            grown.append((node, one))
    direction = _last(given, "direction") or "downstream"
    if direction not in DIRECTIONS:
        raise Invalid(f"direction is {direction!r}", field="direction", hint="downstream or upstream")
    return Ask(
        node=_last(given, "node"),
        up=_number(given, "up", 1) or 0,
        down=_number(given, "down", 1) or 0,
        depth=_number(given, "depth", None),
        direction=direction,
        jobs=_last(given, "jobs") != "0",
        group=_last(given, "group") == "1",
        whole=_last(given, "all") == "1",
        as_of=_last(given, "as_of"),
        grow=tuple(dict.fromkeys(grown)),
        also=tuple(dict.fromkeys(given.get("also", []))),
        filters={name: given[name] for name in FILTERS if given.get(name)},
    )


def _last(given: Mapping[str, list[str]], name: str) -> str:
    return given.get(name, [""])[-1]


def _number(given: Mapping[str, list[str]], name: str, default: int | None) -> int | None:
    text = _last(given, name)
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"{name} is {text!r}", field=name, hint="a whole number of hops") from None
