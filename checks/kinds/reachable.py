"""Reachable: the system answers, as far as signing in.

What says that the target is down is a failure: nothing listens, nobody answers in time, TLS does not come about. What
may as well be DLV's own affair is not: a name that does not resolve (its resolver, a typo), no way into a network, an
address that the guard refuses, a certificate of an authority that the connection does not name, and, where the form
does not say otherwise, a sign-in that is refused.
"""

from __future__ import annotations

import time
from datetime import datetime

from checks import reaching
from checks.fields import Field
from checks.kind import Kind
from checks.result import CannotLook, Observation, Past, Spec, Verdict
from connections import kinds, ladder
from connections.guard import Refused
from connections.link import Link
from errors import DlvError


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    kind = kinds.kind(link.kind)
    climb = ladder.Ladder(float(spec.config["timeout"]))
    began = time.monotonic()
    try:
        said = kind.climb(link, climb)
        return Observation(now, {"ok": True, "said": said, "seconds": time.monotonic() - began})
    except (Refused, CannotLook):
        raise
    except ladder.Failed as e:
        step, message, hint = e.step, e.message, e.hint
    except DlvError as e:
        step, message, hint = climb.now, e.message, e.hint or ""
    except Exception as e:
        down = reaching.failure(e, climb.now)
        if down is None:
            raise
        step, message, hint = down
    return Observation(now, {"ok": False, "step": step, "said": message, "hint": hint})


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    s = seen.seen
    if s["ok"]:
        slow = spec.config.get("slow")
        took = f"{s['seconds'] * 1000:,.0f} ms"
        if slow and s["seconds"] > slow:
            return Verdict("warn", f"answers, but takes {took}", s["seconds"] * 1000)
        return Verdict("ok", s["said"], s["seconds"] * 1000)
    if s["step"] == "name":
        raise CannotLook(s["said"], step="name", hint=s["hint"])
    if s["step"] == "permission":
        return Verdict("ok", f"answers and signs in; {s['said']}")
    if s["step"] == "sign-in" and spec.config["sign_in"] == "unknown" and not _busy(s["said"]):
        raise CannotLook(f"it answers, and does not let DLV in: {s['said']}", step="sign-in", hint=s["hint"])
    return Verdict("fail", s["said"], detail={"step": s["step"], "hint": s["hint"]})


def _busy(said: str) -> bool:
    """Whether the target turns everybody away, or hangs, rather than DLV alone."""
    return any(
        w in said
        for w in (
            "no more connections",
            "no answer",
            "broke off",
            "fault of its own",
            "closed the connection",
        )
    )


KIND = Kind(
    name="reachable",
    label="Reachable",
    says="The system does not answer",
    fields=(
        Field(
            "slow", "Warn when slower than", "duration", low=0.01, high=60, limit=True,
            help="For name, route, TLS and sign-in together. Empty: however long it takes",
        ),
        Field("timeout", "Give up after", "duration", default=9, low=1, high=25, limit=True),
        Field(
            "sign_in", "A sign-in that is refused", "choice", default="unknown", limit=True,
            choices=(("unknown", "is unknown: it may be DLV's password that is wrong"), ("fail", "is a failure")),
        ),
    ),
    observe=observe,
    judge=judge,
    connections=("*",),
    every_seconds=60,
    unit="ms",
)  # fmt: skip
