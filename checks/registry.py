"""All kinds of check by name, and the one way to look: observe, then judge, and never raise."""

from __future__ import annotations

import logging
import pkgutil
import traceback
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

from checks import kinds
from checks.kind import Kind
from checks.result import CannotLook, Past, Spec, Verdict
from connections.guard import Refused
from connections.link import Link

log = logging.getLogger("dlv.checks")

#: characters of a reason that are kept
REASON = 500


def _found() -> Iterator[Kind]:
    for name in sorted(m.name for m in pkgutil.iter_modules(kinds.__path__) if not m.name.startswith("_")):
        module = import_module(f"checks.kinds.{name}")
        yield from getattr(module, "KINDS", None) or (module.KIND,)


#: every kind by its name: those of each module of checks/kinds/ (its KIND, or all of its KINDS)
KINDS: Mapping[str, Kind] = {k.name: k for k in _found()}


def look(spec: Spec, link: Link | None, past: Past, now: datetime) -> Verdict:
    """Look at the target of a check and judge what was seen. Never raises.

    What DLV could not see ends as ``not_checked`` with the step and a hint in ``detail``; a fault of DLV's own as
    ``error`` with the exception's class and place, and nothing of its text, which may hold a secret.
    """
    kind = KINDS.get(spec.kind)
    if kind is None:
        return _not_checked(
            spec, link, CannotLook(f"this DLV knows no kind of check called {spec.kind[:60]!r}")
        )
    if link is None and kind.needs_connection(spec.config):
        gone = CannotLook(
            "its connection was removed or never chosen", hint="choose a connection in the check's form"
        )
        return _not_checked(spec, link, gone)
    try:
        return _clean(kind.judge(spec, kind.observe(spec, link, now), past), link)
    except CannotLook as e:
        return _not_checked(spec, link, e)
    except Refused as e:
        refused = CannotLook(e.message, step="route", hint=e.hint or "an admin of DLV can allow the network")
        return _not_checked(spec, link, refused)
    except Exception as e:
        where = traceback.extract_tb(e.__traceback__)[-1]
        log.error(
            "check %s (%s): %s at %s:%s", spec.id, spec.kind, type(e).__name__, where.filename, where.lineno
        )
        return Verdict("error", f"a fault in DLV itself: {type(e).__name__} while looking")


def _not_checked(spec: Spec, link: Link | None, e: CannotLook) -> Verdict:
    return _clean(Verdict("not_checked", e.reason, detail={"step": e.step, "hint": e.hint}), link)


def _clean(verdict: Verdict, link: Link | None) -> Verdict:
    """The verdict without a secret of the connection in any of its words, whatever the other side answered."""

    def words(value: Any) -> Any:
        if isinstance(value, str):
            return (link.hide(value) if link else value).replace("\x00", "")
        if isinstance(value, Mapping):
            return {str(k): words(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [words(v) for v in value]
        return value

    return Verdict(
        verdict.status,
        " ".join(words(verdict.reason).split())[:REASON],
        verdict.value,
        verdict.health,
        words(verdict.detail) if verdict.detail is not None else None,
        words(verdict.memory) if verdict.memory is not None else None,
    )
