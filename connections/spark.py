"""Spark standalone: the master's page for machines, and the history server's REST."""

from __future__ import annotations

import dataclasses
from typing import Any

from connections import http
from connections.kind import Kind
from connections.ladder import Failed, Ladder
from connections.link import Link
from errors import Invalid


def master(link: Link) -> dict[str, Any]:
    """What the master says of itself: status, workers, applications. :class:`errors.Invalid` where the link names none."""
    with http.session(link) as s:
        said = http.get_json(
            s, http.url(link, "json/", _named(link, "master_url", "Spark master"))
        )  # /json answers HTML
    return said if isinstance(said, dict) else {}


def history(link: Link, path: str, **params: Any) -> Any:
    """The JSON of ``path`` below the history server's /api/v1, such as ``applications``."""
    with http.session(link) as s:
        base = _named(link, "history_url", "history server")
        return http.get_json(s, http.url(link, f"api/v1/{path.lstrip('/')}", base), params=params or None)


def _named(link: Link, name: str, what: str) -> str:
    if not link.get(name):
        raise Invalid(f"the connection {link.name} names no {what}", field=name, hint="edit the connection")
    return name


def _climb(link: Link, ladder: Ladder) -> str:
    said = []
    if not link.get("master_url") and not link.get("history_url"):
        raise Failed(
            "name", "neither a master nor a history server is named", "fill in one of the two, or both"
        )
    for name, what in (("master_url", "the master"), ("history_url", "the history server")):
        if not link.get(name):
            continue
        http.reach(link, ladder, name)
        each = dataclasses.replace(link, timeout=ladder.left())
        with http.answering(ladder, what):
            if name == "master_url":
                found = master(each)
                if "aliveworkers" not in found:
                    raise Failed(
                        "sign-in",
                        "what answers there is no Spark master",
                        "name its web page, e.g. http://spark:8080",
                    )
                status = str(found.get("status", "")).lower()
                said.append(
                    "master on standby, which knows no workers: name the one that leads"
                    if status == "standby"
                    else f"master {status}, {found['aliveworkers']} workers alive"
                )
            else:
                n = len(history(each, "applications", limit=20))
                said.append(
                    "history server, no application yet" if not n else "history server, with applications"
                )
    return "; ".join(said)


def _address(label: str, name: str, example: str, help: str) -> Any:
    return http.address(label, name, example=example, required=False, help=help)


KINDS = (
    Kind(
        "spark", "Spark", "Master and history server of a standalone cluster; the history server alone on YARN or Kubernetes",
        (
            _address("Master", "master_url", "http://spark-master.example.com:8080", "Its web page, not spark://"),
            _address("History server", "history_url", "http://spark-history.example.com:18080", "Confirms what finished applications did"),
            *http.sign_in_fields(), *http.TLS,
        ),
        _climb, ("spark",),
    ),
)  # fmt: skip
