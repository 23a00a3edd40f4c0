"""Sign-in, sessions, roles, tokens, API keys, and the one gate in front of everything.

A view or callback that changes anything says who may call it::

    @callback(Output(...), Input(...))
    @auth.requires("admin")
    def save(...): ...

and reads who asks with :func:`auth.actor` (for the audit) or :func:`auth.principal`.
"""

from __future__ import annotations

from auth.roles import Principal, actor, may, principal, requires

__all__ = ["Principal", "actor", "may", "principal", "requires"]
