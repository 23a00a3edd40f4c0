"""Times as columns hold them: with a zone or without, dates, numbers since 1970, and text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from checks.result import CannotLook
from checks.tables import Table
from errors import Invalid


@dataclass(frozen=True)
class Times:
    """A column that holds times. ``zone``: of those that keep none."""

    name: str
    type: Any
    zone: ZoneInfo
    source: Any

    def newest(self, c: sa.Connection, until: Any = None) -> Any:
        """The greatest value, as the driver gives it, at most ``until``; None where there is none. Infinity is none."""
        column: sa.ColumnClause[Any] = sa.column(self.name)
        asked = sa.select(sa.func.max(column)).select_from(self.source)
        if c.dialect.name == "postgresql" and isinstance(self.type, sa.DateTime | sa.Date):
            asked = asked.where(sa.func.isfinite(column))
        if until is not None:
            asked = asked.where(column <= until)
        return c.execute(asked).scalar_one()

    def moment(self, value: Any, now: datetime) -> datetime:
        return moment(value, self.zone, now)

    def like(self, value: Any, at: datetime) -> Any:
        """``at`` as the column would hold it, ``value`` being one that it does hold."""
        return _as(value, at, self.zone)


def column(c: sa.Connection, table: Table, wanted: str, zone: str) -> Times:
    """The column of this name; :class:`CannotLook` where there is none."""
    columns = sa.inspect(c).get_columns(table.name, schema=table.schema)
    same = [x for x in columns if x["name"] == wanted] or [
        x for x in columns if x["name"].lower() == wanted.lower()
    ]
    if not same:
        raise CannotLook(
            f"{table} has no column {wanted}", step="answer", hint="check the column in the check's form"
        )
    type_ = same[0]["type"]
    # MySQL's TIMESTAMP is kept in UTC and told in the session's zone, which utc() sets
    kept = "UTC" if isinstance(type_, mysql.TIMESTAMP) else zone
    return Times(same[0]["name"], type_, ZoneInfo(kept), sa.text(table.sql(c)))


def utc(c: sa.Connection) -> None:
    """Have MySQL tell its TIMESTAMPs in UTC."""
    if c.dialect.name in ("mysql", "mariadb"):
        c.exec_driver_sql("set time_zone = '+00:00'")


def known_zone(name: Any) -> None:
    """:class:`errors.Invalid` where there is no time zone of this name."""
    if name not in available_timezones():
        raise Invalid(
            f"{str(name)[:60]!r} is no time zone",
            field="config.zone",
            hint="a name such as Europe/Berlin or UTC",
        )


def moment(value: Any, zone: ZoneInfo, now: datetime) -> datetime:
    """What a column holds, as a time: with a zone or without (then of ``zone``), a date (its end, at most now), seconds,
    milliseconds, micro- or nanoseconds since 1970, or any of these as text. :class:`CannotLook` where it is none."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
    if isinstance(value, date):
        start = datetime.combine(value, time(), zone).astimezone(UTC)
        end = datetime.combine(value + timedelta(days=1), time(), zone).astimezone(UTC)
        return start if start > now else min(end, now)
    if isinstance(value, bool):
        raise _no_time()
    if isinstance(value, int | float | Decimal):
        return _epoch(float(value))
    if isinstance(value, str):
        text = value.strip()
        try:
            return _epoch(float(text))
        except ValueError:
            pass
        try:
            if len(text) == 10:
                return moment(date.fromisoformat(text), zone, now)
            return moment(datetime.fromisoformat(text), zone, now)
        except ValueError:
            raise _no_time() from None
    raise _no_time()


def _epoch(n: float) -> datetime:
    size = abs(n)
    scale = 1e9 if size >= 1e17 else 1e6 if size >= 1e14 else 1e3 if size >= 1e11 else 1
    try:
        return datetime.fromtimestamp(n / scale, UTC)
    except (OverflowError, ValueError, OSError):
        raise _no_time() from None


def _as(like: Any, at: datetime, zone: ZoneInfo) -> Any:
    """A time, as the column holds it."""
    if isinstance(like, datetime):
        return at if like.tzinfo else at.astimezone(zone).replace(tzinfo=None)
    if isinstance(like, date):
        return at.astimezone(zone).date()
    if isinstance(like, str):
        try:
            return str(_as(float(like), at, zone))
        except ValueError:
            pass
        local = at.astimezone(zone).replace(tzinfo=None)
        return local.isoformat(sep="T" if "T" in like else " ")[: 10 if len(like.strip()) == 10 else 19]
    size = abs(float(like))
    scale = 10**9 if size >= 1e17 else 10**6 if size >= 1e14 else 1000 if size >= 1e11 else 1
    return int(at.timestamp() * scale)


def _no_time() -> CannotLook:
    return CannotLook(
        "the column holds no times", step="answer",
        hint="name one of a timestamp, datetime or date type, or of seconds since 1970",
    )  # fmt: skip
