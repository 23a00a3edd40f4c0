"""What a page takes from the process around it: the bundle of questions, who asks, and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app, has_app_context

from auth import roles

if TYPE_CHECKING:
    from answers.context import Dlv
    from auth.roles import Principal


def dlv() -> Dlv:
    """The bundle that every answer takes first."""
    return current_app.extensions["dlv"]


def user() -> Principal | None:
    """Who is signed in; None while Dash builds its layouts at start."""
    return roles.principal() if has_app_context() else None


def can(role: str) -> bool:
    """Whether to show what needs this role. Hiding is a courtesy: the callback itself checks with `requires`."""
    return roles.may(role)
