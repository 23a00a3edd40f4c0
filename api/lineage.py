"""The receiver of OpenLineage events. Clients drop events on a slow or a 4xx answer: what can be read is taken, stored
and answered at once; everything else is the fold worker's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any, Literal

import orjson
from flask import Response, current_app, request
from pydantic import BaseModel

from api.resource import Call, Resource
from auth.roles import LINEAGE
from errors import DlvError, Forbidden, Malformed, RecordAway, TooLarge, Unavailable
from ingest import openlineage
from ingest.redact import redact_event
from settings import Settings
from store import events
from store.record import Record

log = logging.getLogger("dlv.ingest")

resource = Resource("lineage")

#: seconds between two counts of the queue, and between two notes of a producer's newest event
COUNT_EVERY, NOTE_EVERY = 2.0, 5.0
#: most events of one batch
BATCH = 10_000


class _Waiting:
    """What one request wants stored, and what became of it."""

    def __init__(self, given: list[events.Given]) -> None:
        self.given = given
        self.turn = threading.Event()  # stored, or it is this request's turn to write
        self.stored = False
        self.error: BaseException | None = None


class Together:
    """Stores what several requests bring at the same moment in one transaction.

    Whoever comes while nobody writes, writes for itself; whoever comes meanwhile waits, and one of those writes for
    all of them next (the first goes home: it must not serve others while its own client waits). An answer is still
    given only after the commit. Where a transaction of several fails for another reason than the record being away,
    each is tried alone, so that none fails for its neighbour.
    """

    def __init__(self, store: Callable[[list[events.Given]], None]) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._writing = False

    def __call__(self, given: list[events.Given]) -> None:
        (error,) = self.each([given])
        if error is not None:
            raise error

    def each(self, requests: list[list[events.Given]]) -> list[BaseException | None]:
        """Store what several requests want, none of which fails for its neighbour; what became of each."""
        mine = [_Waiting(given) for given in requests]
        with self._lock:
            self._waiting += mine  # side by side, so that whoever writes one of them writes all
            first = not self._writing
            self._writing = True
        if not first:
            mine[0].turn.wait()
        if not mine[0].stored:
            self._lead()
        for waiting in mine:
            waiting.turn.wait()
        return [waiting.error for waiting in mine]

    def _lead(self) -> None:
        """Write all that wait, this request's among them, and hand over to one that came meanwhile."""
        with self._lock:
            group, self._waiting = self._waiting, []
        try:
            self._write(group)
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting[0].turn.set()
                else:
                    self._writing = False

    def _write(self, group: list[_Waiting]) -> None:
        try:
            self._store([one for waiting in group for one in waiting.given])
        except Exception as e:
            if len(group) > 1 and not isinstance(e, RecordAway):
                for waiting in group:
                    self._write([waiting])
                return
            for waiting in group:
                waiting.error = e
        except BaseException:  # this process is being stopped: nobody may wait for a writer that is gone
            for waiting in group:
                waiting.error = RecordAway("DLV is stopping", hint="send again")
            raise
        finally:
            for waiting in group:
                waiting.stored = True
                waiting.turn.set()


class Receiver:
    """What one process remembers between events: how full the queue is, which producers it noted lately."""

    def __init__(
        self,
        record: Record,
        settings: Settings,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.record = record
        self.most_bytes = settings.max_body_bytes
        self.most_pending = settings.max_pending_events
        self.wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._counted_at = -1e9
        self._pending = 0
        self._noted: dict[int, float] = {}
        self._together = Together(self._store)

    def take(self, given: list[events.Given]) -> None:
        """Store and queue; :class:`errors.Unavailable` where too much is waiting or the record is away."""
        self._room()
        self._together(given)
        self.wake()

    def take_each(self, given: list[events.Given]) -> list[DlvError | None]:
        """:meth:`take` of events that came one by one; for each what kept it from being stored, told anew."""
        try:
            self._room()
        except Unavailable as e:
            return [_anew(e) for _ in given]
        said = self._together.each([[one] for one in given])
        self.wake()
        return [None if error is None else _anew(error) for error in said]

    def _store(self, given: list[events.Given]) -> None:
        due = {producer_id for producer_id, _, _ in given if self._due(producer_id)}
        events.take_all(self.record, given, note=due)

    def _room(self) -> None:
        now = self._clock()
        if now - self._counted_at > COUNT_EVERY and self._lock.acquire(blocking=False):
            try:  # one thread counts, the others go on with the last count
                self._pending = events.pending(self.record, self.most_pending + 1)
                self._counted_at = self._clock()
            finally:
                self._lock.release()
        if self._pending > self.most_pending:
            self.wake()
            raise Unavailable(
                f"more than {self.most_pending} events wait to be folded",
                retry_after=10,
                hint="send again later; see the fold backlog in /readyz",
            )

    def _due(self, producer_id: int) -> bool:
        now = self._clock()
        if now - self._noted.get(producer_id, -1e9) < NOTE_EVERY:
            return False
        self._noted[producer_id] = now
        return True


def _anew(error: BaseException) -> DlvError:
    """One error may be many requests' error: each gets its own."""
    if isinstance(error, Unavailable):
        hint = "send again" if isinstance(error, RecordAway) else error.hint
        return type(error)(error.message, retry_after=error.retry_after, hint=hint)
    if isinstance(error, DlvError):
        return error
    log.error("events could not be stored", exc_info=error)
    return DlvError("the event could not be stored", hint="send again; DLV's log says more")


@resource.post("/lineage", need=LINEAGE, body=Any, status=201, limited=False, raw=True)
def one(call: Call) -> Response:
    """Accept one OpenLineage event.

    A RunEvent, JobEvent or DatasetEvent, gzip or not. Stored, then answered; folded afterwards. The same event sent
    again is 201 too. What breaks the specification is kept and shown as a warning; only what is not a JSON object is
    refused.
    """
    receiver: Receiver = current_app.extensions["dlv_receiver"]
    body = read_body(receiver.most_bytes)
    event = openlineage.read_json(body)
    _take(receiver, call, [(hashlib.sha256(body).digest(), kept(event))])
    return Response(status=201)


class Failed(BaseModel):
    index: int
    reason: str
    retriable: bool


class Summary(BaseModel):
    received: int
    successful: int
    failed: int
    retriable: int
    non_retriable: int


class BatchAnswer(BaseModel):
    status: Literal["success", "partial_success"]
    summary: Summary
    failed_events: list[Failed]


@resource.post("/lineage/batch", need=LINEAGE, body=Any, returns=BatchAnswer, limited=False, raw=True)
def batch(call: Call) -> dict[str, Any]:
    """Accept a list of OpenLineage events.

    All that can be read are stored in one transaction; the answer says which could not, as the OpenLineage
    specification has it.
    """
    receiver: Receiver = current_app.extensions["dlv_receiver"]
    items = openlineage.loads(read_body(receiver.most_bytes))
    if not isinstance(items, list):
        raise Malformed(
            "the body is not a JSON list", field="body", hint="a single event goes to /api/v1/lineage"
        )
    if len(items) > BATCH:
        raise TooLarge(
            f"the batch has {len(items)} events, more than {BATCH}", field="body", hint="send several"
        )
    given: list[tuple[bytes, bytes]] = []
    failed: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        if isinstance(item, dict):
            given.append((hashlib.sha256(_dumps(item)).digest(), kept(item)))
        else:
            failed.append({"index": index, "reason": "the event is not a JSON object", "retriable": False})
    _take(receiver, call, given)
    return {
        "status": "partial_success" if failed else "success",
        "summary": {
            "received": len(items),
            "successful": len(given),
            "failed": len(failed),
            "retriable": 0,
            "non_retriable": len(failed),
        },
        "failed_events": failed,
    }


def _take(receiver: Receiver, call: Call, given: list[tuple[bytes, bytes]]) -> None:
    producer_id = call.principal.producer_id
    if producer_id is None:
        raise Forbidden("this API key belongs to no producer", hint="make a new key with lineage:write")
    try:
        receiver.take([(producer_id, hash_, body) for hash_, body in given])
    except RecordAway as e:
        raise _anew(e) from None


def kept(event: dict[str, Any]) -> bytes:
    """The bytes that are stored of an event: redacted, metadata only."""
    return _dumps(redact_event(event))


def _dumps(event: Any) -> bytes:
    try:
        return orjson.dumps(event)
    except (TypeError, ValueError):  # lone surrogates, integers beyond 64 bits
        return json.dumps(event, separators=(",", ":")).encode()


def read_body(most: int) -> bytes:
    """The decompressed body, at most ``most`` bytes (else :class:`errors.TooLarge`)."""
    hint = f"at most {most // 1024 // 1024} MB, counted after decompression" if most >= 1024 * 1024 else None
    if (request.content_length or 0) > most:
        raise TooLarge(
            f"the body has {request.content_length} bytes, more than {most}", field="body", hint=hint
        )
    raw = request.stream.read(most + 1)
    if len(raw) > most:
        raise TooLarge(f"the body has more than {most} bytes", field="body", hint=hint)
    if len(raw) < (request.content_length or 0):
        raise Malformed(
            f"the body ended after {len(raw)} of {request.content_length} bytes",
            field="body",
            hint="send again",
        )
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Malformed(
            f"Content-Encoding {encoding[:40]!r} is not known", field="Content-Encoding", hint="gzip or none"
        )
    return _inflate(raw, most, hint)


def _inflate(raw: bytes, most: int, hint: str | None) -> bytes:
    parts: list[bytes] = []
    left = most
    while raw:  # gzip allows several members in a row
        unpack = zlib.decompressobj(wbits=47)  # gzip or zlib, by its header
        try:
            parts.append(unpack.decompress(raw, left + 1))
        except zlib.error as e:
            raise Malformed(f"the body is not gzip: {e}", field="body") from None
        left -= len(parts[-1])
        if left < 0:
            raise TooLarge(f"the body has more than {most} bytes when decompressed", field="body", hint=hint)
        if not unpack.eof:
            raise Malformed("the gzip body ends too early", field="body", hint="send it whole")
        raw = unpack.unused_data.lstrip(b"\x00")
    return b"".join(parts)
