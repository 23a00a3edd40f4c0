"""Stable ids: UUIDv5 of what a thing is, so that every process and every replay gives the same. Standard library only."""

from __future__ import annotations

import json
from functools import lru_cache
from uuid import UUID, uuid5

#: the root of all ids of DLV; never change it, every stored id hangs on it
ROOT = UUID("6f0d3c6e-6d0a-5c0f-9a4e-d1b6b7a0d17e")


def _of(*parts: str) -> UUID:
    return uuid5(ROOT, json.dumps(parts, ensure_ascii=True, separators=(",", ":")))


@lru_cache(maxsize=65_536)
def alias_id(environment: str, namespace: str, name: str, type_: str) -> UUID:
    """Of a normalised name. ``type_`` is dataset or job."""
    return _of("alias", environment, namespace, name, type_)


@lru_cache(maxsize=65_536)
def edge_id(source: UUID, target: UUID) -> UUID:
    """Of an edge between two aliases."""
    return _of("edge", source.hex, target.hex)


def run_key(job_alias: UUID, run_id: str) -> UUID:
    """Of a run: one runId may be sent for several jobs, so the job is part of it."""
    return _of("run", job_alias.hex, run_id)


#: stand-in jobs live in a namespace of DLV's own
STANDIN_NAMESPACE = "dlv:standin"


def standin_name(source: UUID, target: UUID) -> str:
    """Name of the job that stands between two datasets where no job is known."""
    return f"{source}→{target}"
