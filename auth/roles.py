"""Who asks, and whether they may. Roles come from the store on every request, never from a token."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from flask import g, has_request_context

from errors import Forbidden, Unauthenticated
from store.audit import Actor

RANK = {"viewer": 1, "responder": 2, "admin": 3}


@dataclass(frozen=True)
class Principal:
    """A signed-in person (``role``, ``session_id``) or an API key (``scopes``, perhaps ``producer_id``)."""

    kind: str  # user or api_key
    id: UUID
    name: str
    role: str | None = None
    session_id: UUID | None = None
    must_change: bool = False
    display_name: str = ""
    scopes: frozenset[str] = frozenset()
    producer_id: int | None = None


@dataclass(frozen=True)
class Need:
    """What a caller must have: a person at least ``role``, or a key with ``scope``. None: not that kind of caller."""

    role: str | None
    scope: str | None
    words: str


#: reads anything on the map
READER = Need("viewer", "read", "reader")
#: acknowledges, assigns, silences, annotates
RESPONDER = Need("responder", "write", "responder")
#: changes the map and its rules; a key with `write` may too
ADMIN = Need("admin", "write", "admin")
#: access itself (users, keys, audit): people only, so that no key can make itself more
ADMIN_PERSON = Need("admin", None, "admin (a person)")
#: one's own account
PERSON = Need("viewer", None, "anybody signed in")
#: sends events
LINEAGE = Need(None, "lineage:write", "an API key with lineage:write")

_NAMED = {"viewer": READER, "reader": READER, "responder": RESPONDER, "admin": ADMIN, "person": PERSON}

F = TypeVar("F", bound=Callable[..., Any])


def allows(need: Need, who: Principal) -> bool:
    if who.kind == "api_key":
        return need.scope is not None and need.scope in who.scopes
    return need.role is not None and RANK.get(who.role or "", 0) >= RANK[need.role]


def check(need: Need, who: Principal | None) -> Principal:
    """Raise :class:`errors.Unauthenticated` or :class:`errors.Forbidden` unless ``who`` has what is needed."""
    if who is None:
        raise Unauthenticated("sign in first", hint="POST /api/v1/auth/login, or send an API key as Bearer")
    if not allows(need, who):
        has = f"scopes {', '.join(sorted(who.scopes))}" if who.kind == "api_key" else f"role {who.role}"
        raise Forbidden(f"this needs {need.words}; you have {has}", hint="ask an admin of DLV")
    return who


def principal() -> Principal | None:
    """Who asks, inside a request that passed the gate."""
    return g.get("principal") if has_request_context() else None


def may(role: str) -> bool:
    """Whether who asks has at least this role: for showing or hiding, never instead of :func:`requires`."""
    who = principal()
    return who is not None and allows(_NAMED[role], who)


def actor() -> Actor:
    """Who asks, as the audit writes it."""
    who = check_signed_in(principal())
    return Actor(who.kind, str(who.id), who.name, g.get("remote_addr", ""))


def check_signed_in(who: Principal | None) -> Principal:
    if who is None:
        raise Unauthenticated("sign in first")
    return who


def requires(role: str) -> Callable[[F], F]:
    """Only callers with at least this role (viewer, responder, admin) get in; others get 403 in the one error
    shape. For Flask views and Dash callbacks; stands below ``@callback``.
    """
    need = _NAMED[role]

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            check(need, principal())
            return function(*args, **kwargs)

        guarded.dlv_need = need  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return decorate
