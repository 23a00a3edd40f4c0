"""A check looked at as a worker does, through a connection that leads to a test's server."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from checks import registry
from checks.fields import checked
from checks.result import About, Past, Spec, Verdict
from connections import guard
from connections.link import Link


def link(kind: str, secret: Mapping[str, str] | None = None, timeout: float = 10.0, **fields: Any) -> Link:
    return Link(
        uuid.uuid4(), f"the {kind} of the tests", kind, fields, guard.of([], ""), secret or {}, timeout
    )


def spec(kind: str, about: About | None = None, **config: Any) -> Spec:
    whole = checked(registry.KINDS[kind].fields, config)
    return Spec(uuid.uuid4(), kind, kind, uuid.uuid4(), whole, about=about or About())


def look(
    link: Link | None, kind: str, past: Past | None = None, *, about: About | None = None, **config: Any
) -> Verdict:
    """One look, judged: what :func:`checks.registry.look` says."""
    return registry.look(spec(kind, about, **config), link, past or Past(), datetime.now(UTC))


def after(verdict: Verdict) -> Past:
    """The past that the next look is handed."""
    return Past(verdict.status, verdict.memory or {})
