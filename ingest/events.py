"""The one internal shape of lineage, whatever it came from. Standard library only.

Facets stay dicts (source: OpenLineage 2-0-2, facets replace by name and ``_deleted`` removes); only the envelope
is typed. Times are aware UTC datetimes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Facets = dict[str, Any]

TERMINAL = ("COMPLETE", "FAIL", "ABORT")


@dataclass(frozen=True)
class DatasetSaid:
    """A dataset as an event names it. ``facets`` holds its facets and those of this input or output, merged; ``place``
    is where in the event it stands: ``inputs[0]``.
    """

    namespace: str
    name: str
    facets: Facets = field(default_factory=dict)
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class JobSaid:
    namespace: str
    name: str
    facets: Facets = field(default_factory=dict)


@dataclass(frozen=True)
class Warning_:
    """Where an event breaks the specification: kept and shown, never a refusal."""

    path: str
    message: str


@dataclass(frozen=True)
class Event:
    """One OpenLineage event: of a run (``run_id`` set), of a job, or of a dataset (``job`` is None)."""

    at: datetime
    state: str | None  # START RUNNING COMPLETE FAIL ABORT OTHER; None for job and dataset events
    run_id: str | None
    run_facets: Facets
    job: JobSaid | None
    inputs: tuple[DatasetSaid, ...]
    outputs: tuple[DatasetSaid, ...]
    dataset: DatasetSaid | None  # of a dataset event
    producer_uri: str
    hash: bytes  # SHA-256 of the decompressed body: breaks ties between events of one time
    warnings: tuple[Warning_, ...] = ()
