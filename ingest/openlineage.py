"""OpenLineage in: a body becomes an :class:`ingest.events.Event`, whatever it looks like.

Clients never retry a 4xx, so a refusal loses the event for good. Only what cannot be read as a JSON object is
refused; everything else is kept, and where it breaks the specification (OpenLineage 2-0-2) it carries a warning.
Pure: no store, no network.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import fastjsonschema
import orjson

from errors import Malformed
from ingest.events import DatasetSaid, Event, Facets, JobSaid, Warning_

STATES = ("START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER")

#: More warnings than this on one event say nothing new.
MOST_WARNINGS = 20
#: Names longer than this are cut: Postgres cannot index them, and nobody can read them.
LONGEST_NAME = 2000

_FACETS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["_producer", "_schemaURL"],
        "properties": {"_producer": {"type": "string"}, "_schemaURL": {"type": "string"}},
    },
}
_DATASET = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {
        "namespace": {"type": "string", "minLength": 1},
        "name": {"type": "string", "minLength": 1},
        "facets": _FACETS,
        "inputFacets": _FACETS,
        "outputFacets": _FACETS,
    },
}
#: The envelope only, so that a good event is known good in one compiled pass. It decides nothing but whether the
#: slower search for the places of the faults is needed.
_ENVELOPE = {
    "type": "object",
    "required": ["eventTime", "producer", "schemaURL"],
    "properties": {
        "eventTime": {"type": "string", "minLength": 20},
        "producer": {"type": "string", "minLength": 1},
        "schemaURL": {"type": "string", "minLength": 1},
        "eventType": {"enum": list(STATES)},
        "run": {
            "type": "object",
            "required": ["runId"],
            "properties": {
                "runId": {
                    "type": "string",
                    "pattern": "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$",
                },
                "facets": _FACETS,
            },
        },
        "job": _DATASET,
        "dataset": _DATASET,
        "inputs": {"type": "array", "items": _DATASET},
        "outputs": {"type": "array", "items": _DATASET},
    },
    "anyOf": [{"required": ["run", "job"]}, {"required": ["job"]}, {"required": ["dataset"]}],
}
_valid: Callable[[Any], Any] = fastjsonschema.compile(_ENVELOPE)


def parse(body: bytes, received_at: datetime | None = None, digest: bytes | None = None) -> Event:
    """Read one event. ``received_at`` (aware) stands in where the event has no readable time; default: now.
    ``digest``: the hash of the body as sent, where this is no longer that body.

    Raises :class:`errors.Malformed` with the position for what is not JSON, and for JSON that is not an object.
    """
    try:
        # orjson refuses lone surrogates and NaN: what is left to be cleaned are NULs
        obj, safe = orjson.loads(body), b"\\u0000" not in body
    except orjson.JSONDecodeError:
        obj, safe = None, False
    if not isinstance(obj, dict):
        obj = read_json(body)
    return from_object(obj, digest or hashlib.sha256(body).digest(), received_at, safe=safe)


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. NaN, ``\\u0000`` and lone surrogates are let through: :func:`clean` mends them."""
    obj = loads(body)
    if not isinstance(obj, dict):
        raise Malformed(
            f"the body is JSON but not an object: it is {_kind(obj)}",
            field="body",
            hint="send one OpenLineage event as a JSON object; a list goes to /api/v1/lineage/batch",
        )
    return obj


def loads(body: bytes) -> Any:
    """Any JSON. Raises :class:`errors.Malformed` with line, column and byte."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        text = body.decode("utf-8-sig", "surrogatepass")
    except UnicodeDecodeError as e:
        raise Malformed(
            f"the body is not UTF-8: byte {e.start}", field="body", hint="send JSON encoded as UTF-8"
        ) from e
    try:
        return json.loads(text)
    except json.JSONDecodeError as e:
        byte = len(text[: e.pos].encode("utf-8", "surrogatepass"))
        raise Malformed(
            f"the body is not JSON: {e.msg} at line {e.lineno} column {e.colno} (byte {byte})",
            field="body",
            hint="send one OpenLineage event as a JSON object",
        ) from e
    except RecursionError as e:
        raise Malformed(
            "the body is nested too deeply to be read (line 1 column 1, byte 0)",
            field="body",
            hint="nest less than 1,000 levels",
        ) from e
    except ValueError as e:  # integers of more digits than Python converts
        raise Malformed(
            f"the body holds a number that cannot be read: {e} (line 1 column 1, byte 0)", field="body"
        ) from e


def from_object(
    obj: dict[str, Any], digest: bytes, received_at: datetime | None = None, *, safe: bool = False
) -> Event:
    """The event in an object already parsed (and perhaps redacted). ``digest`` is the hash of the body as sent.

    All its text can be stored as it is; ``safe``: the object is known to hold nothing that :func:`clean` would change.
    """
    if not safe:
        obj = clean(obj)
    notes = _Notes()
    if not _is_valid(obj):
        notes.extend(_faults(obj))
    at = _event_time(obj.get("eventTime"), received_at, notes)
    run = _dict(obj.get("run"))
    run_id = run.get("runId")
    job = _job(obj.get("job"))
    dataset = _dataset(obj.get("dataset"), "facets")
    return Event(
        at=at,
        state=_state(obj.get("eventType"), run_id is not None),
        run_id=None if run_id is None else _text(run_id) or None,
        run_facets=_facets(run.get("facets")),
        job=job,
        inputs=tuple(_datasets(obj.get("inputs"), "inputs", "inputFacets")),
        outputs=tuple(_datasets(obj.get("outputs"), "outputs", "outputFacets")),
        dataset=dataset if job is None else None,
        producer_uri=_text(obj.get("producer")),
        hash=digest,
        warnings=tuple(notes.all),
    )


# ---------------------------------------------------------------- values Postgres can hold

_UNSAFE = re.compile("[\x00\ud800-\udfff]")


def clean(obj: Any) -> Any:
    """Any parsed JSON, made safe for Postgres text and jsonb: no NUL, no lone surrogates, no NaN or Infinity.

    Those characters become U+FFFD and those numbers null.
    """
    return _clean(obj)


def _clean(obj: Any, depth: int = 0) -> Any:
    if isinstance(obj, str):
        return _UNSAFE.sub("\ufffd", obj) if _UNSAFE.search(obj) else obj
    if isinstance(obj, float):
        return obj if math.isfinite(obj) else None
    if isinstance(obj, dict):
        return {_clean(str(k)): _clean(v, depth + 1) for k, v in obj.items()} if depth < 200 else None
    if isinstance(obj, list):
        return [_clean(v, depth + 1) for v in obj] if depth < 200 else None
    return obj


# ---------------------------------------------------------------- the parts


def _job(said: Any) -> JobSaid | None:
    if not isinstance(said, dict):
        return None
    namespace, name = _text(said.get("namespace")), _text(said.get("name"))
    return JobSaid(namespace, name, _facets(said.get("facets"))) if name else None


def _dataset(said: Any, extra: str, place: str = "") -> DatasetSaid | None:
    if not isinstance(said, dict):
        return None
    namespace, name = _text(said.get("namespace")), _text(said.get("name"))
    if not name:
        return None
    facets = _facets(said.get("facets"))
    if extra != "facets":
        facets = {**facets, **_facets(said.get(extra))}
    return DatasetSaid(namespace, name, facets, place)


def _datasets(said: Any, where: str, extra: str) -> Iterator[DatasetSaid]:
    for i, one in enumerate(said if isinstance(said, list) else ()):
        dataset = _dataset(one, extra, f"{where}[{i}]")
        if dataset:
            yield dataset


def _facets(said: Any) -> Facets:
    return {k: v for k, v in said.items() if isinstance(v, dict)} if isinstance(said, dict) else {}


def _dict(said: Any) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}


def _text(said: Any) -> str:
    """A name: text trimmed and cut; a number as its text; anything else is no name."""
    if isinstance(said, str):
        return said.strip()[:LONGEST_NAME]
    if isinstance(said, int | float) and not isinstance(said, bool):
        return str(said)[:LONGEST_NAME]
    return ""


def _state(said: Any, has_run: bool) -> str | None:
    state = said.strip().upper() if isinstance(said, str) else None
    if state in STATES:
        return state
    return "OTHER" if has_run else None


_FRACTION = re.compile(r"\.(\d{6})\d+")


def parse_time(said: Any) -> datetime | None:
    """An ISO 8601 time as aware UTC; one without zone is taken as UTC; None where it cannot be read."""
    if not isinstance(said, str):
        return None
    text = _FRACTION.sub(r".\1", said.strip())  # nanoseconds: Java clients send nine digits
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _has_zone(said: str) -> bool:
    return bool(re.search(r"(?:[zZ]|[+-]\d\d:?\d\d(?::?\d\d)?|[+-]\d\d)$", said.strip()[10:]))


def _event_time(said: Any, received_at: datetime | None, notes: _Notes) -> datetime:
    at = parse_time(said)
    if at is None:
        notes.add("eventTime", "missing or not an ISO 8601 time; the time of arrival is used instead")
        return (received_at or datetime.now(UTC)).astimezone(UTC)
    if not _has_zone(said):
        notes.add("eventTime", "has no time zone; taken as UTC")
    return at


# ---------------------------------------------------------------- where the specification is broken


class _Notes:
    def __init__(self) -> None:
        self.all: list[Warning_] = []

    def add(self, path: str, message: str) -> None:
        note = Warning_(path[:300], message[:500])
        if len(self.all) < MOST_WARNINGS and note not in self.all:
            self.all.append(note)

    def extend(self, notes: Iterator[Warning_]) -> None:
        for note in notes:
            self.add(note.path, note.message)


def _is_valid(obj: Any) -> bool:
    try:
        _valid(obj)
    except (fastjsonschema.JsonSchemaException, RecursionError, TypeError, ValueError):
        return False
    return True


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _faults(obj: dict[str, Any]) -> Iterator[Warning_]:
    for key in ("producer", "schemaURL"):
        if not isinstance(obj.get(key), str) or not obj[key]:
            yield Warning_(key, "required: a URI")
    if "eventTime" in obj and not isinstance(obj["eventTime"], str):
        yield Warning_("eventTime", f"must be text, not {_kind(obj['eventTime'])}")
    state = obj.get("eventType")
    if "eventType" in obj and state not in STATES:
        yield Warning_("eventType", f"must be one of {', '.join(STATES)}; unknown ones are read as OTHER")
    if not isinstance(obj.get("job"), dict) and not isinstance(obj.get("dataset"), dict):
        yield Warning_("job", "an event needs a job or a dataset; this one has neither and is only kept")
    if "run" in obj:
        yield from _run_faults(obj["run"])
    if "job" in obj:
        yield from _named_faults("job", obj["job"])
    if "dataset" in obj:
        yield from _named_faults("dataset", obj["dataset"])
    for key in ("inputs", "outputs"):
        if key not in obj or obj[key] is None:
            continue
        if not isinstance(obj[key], list):
            yield Warning_(key, f"must be a list, not {_kind(obj[key])}; it is left out")
            continue
        for i, one in enumerate(obj[key]):
            yield from _named_faults(f"{key}[{i}]", one)


def _run_faults(run: Any) -> Iterator[Warning_]:
    if not isinstance(run, dict):
        yield Warning_("run", f"must be an object, not {_kind(run)}")
        return
    run_id = run.get("runId")
    if run_id is None:
        yield Warning_("run.runId", "required: without it the run cannot be followed")
    else:
        try:
            UUID(run_id)
        except (ValueError, TypeError, AttributeError):
            yield Warning_("run.runId", "must be a UUID; it is kept as it is")
    yield from _facet_faults("run.facets", run.get("facets"))


def _named_faults(path: str, said: Any) -> Iterator[Warning_]:
    if not isinstance(said, dict):
        yield Warning_(path, f"must be an object, not {_kind(said)}; it is left out")
        return
    for key in ("namespace", "name"):
        value = said.get(key)
        if not isinstance(value, str) or not value.strip():
            left_out = "; it is left out" if key == "name" and not _text(value) else ""
            yield Warning_(f"{path}.{key}", f"required: text{left_out}")
    for key in ("facets", "inputFacets", "outputFacets"):
        yield from _facet_faults(f"{path}.{key}", said.get(key))


def _facet_faults(path: str, facets: Any) -> Iterator[Warning_]:
    if facets is None:
        return
    if not isinstance(facets, dict):
        yield Warning_(path, f"must be an object, not {_kind(facets)}; it is left out")
        return
    for name, facet in facets.items():
        if not isinstance(facet, dict):
            yield Warning_(f"{path}.{name}", f"must be an object, not {_kind(facet)}; it is left out")
            continue
        for key in ("_producer", "_schemaURL"):
            if not isinstance(facet.get(key), str):
                yield Warning_(f"{path}.{name}", f"lacks {key}")
