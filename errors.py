"""The one exception family of DLV. Every error a person or client can cause is one of these; each says what is
wrong, which field it is about, and the way out. The API turns them into
``{"error": {"code", "message", "field"?, "hint"?, "request_id"}}``; forms show ``message`` beside ``field``.
"""

from __future__ import annotations


class DlvError(Exception):
    """Base of all. ``code`` is stable and machine-readable, ``status`` the HTTP status it becomes."""

    code = "error"
    status = 500

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint


class Invalid(DlvError):
    """The input is wrong; ``field`` names the part and ``hint`` the way out."""

    code = "invalid"
    status = 422


class Malformed(DlvError):
    """The body cannot be read at all (not JSON, not gzip)."""

    code = "malformed"
    status = 400


class Unauthenticated(DlvError):
    code = "unauthenticated"
    status = 401


class Forbidden(DlvError):
    code = "forbidden"
    status = 403


class NotFound(DlvError):
    code = "not_found"
    status = 404


class Conflict(DlvError):
    """The request contradicts what is stored (a name already taken, an edge that exists)."""

    code = "conflict"
    status = 409


class Changed(DlvError):
    """Optimistic locking: somebody else edited first. ``changes`` says what: {field: {"yours", "theirs"}}."""

    code = "changed"
    status = 412

    def __init__(
        self, message: str, *, changes: dict[str, object], version: int, hint: str | None = None
    ) -> None:
        super().__init__(message, field="version", hint=hint)
        self.changes = changes
        self.version = version


class TooLarge(DlvError):
    code = "too_large"
    status = 413


class Throttled(DlvError):
    """Too many tries; ``retry_after`` in seconds."""

    code = "throttled"
    status = 429

    def __init__(self, message: str, *, retry_after: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Unavailable(DlvError):
    """A part of DLV is away; ``retry_after`` in seconds."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, retry_after: int = 5, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class GraphAway(Unavailable):
    """The graph does not answer. Pages show what they can from the record."""

    code = "graph_away"


class RecordAway(Unavailable):
    """Postgres does not answer."""

    code = "record_away"


class BadSetting(DlvError):
    """A setting is missing or wrong; ``field`` is its name, the message says what was tried."""

    code = "bad_setting"
