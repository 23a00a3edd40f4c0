"""The kinds of connection by name. One more kind is one more entry in the ``KINDS`` of a module here."""

from __future__ import annotations

from connections import airflow, http, kafka, spark, sql
from connections.kind import Kind
from errors import Invalid

KINDS: dict[str, Kind] = {k.name: k for module in (sql, kafka, airflow, spark, http) for k in module.KINDS}


def kind(name: str) -> Kind:
    """:class:`errors.Invalid` where there is no such kind."""
    found = KINDS.get(name)
    if found is None:
        raise Invalid(
            f"there is no kind of connection {name[:40]!r}", field="kind", hint="one of " + ", ".join(KINDS)
        )
    return found
