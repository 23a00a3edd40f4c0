"""HTTP: an address answers with the expected status and text, in time, with a certificate that lasts."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from cryptography import x509

from checks import reaching
from checks.fields import Field, in_words
from checks.kind import Kind
from checks.result import Observation, Past, Spec, Verdict
from connections import http
from connections.link import Link
from errors import Invalid

#: how much of a body is looked through for a text
_BODY = 1024 * 1024


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    config = spec.config
    began = time.monotonic()
    try:
        with http.session(link) as s:
            s.timeout = float(config["timeout"])
            answer = s.request(
                config["method"], http.url(link, config.get("path", "")), stream=True, allow_redirects=config["follow"]
            )  # fmt: skip
            with answer:
                expires = _expires(answer)
                seen = {"status": answer.status_code, "expires": expires}
                if config.get("contains"):
                    seen["found"] = _found(answer, config["contains"], began + 2 * float(config["timeout"]))
        return Observation(now, seen | {"seconds": time.monotonic() - began})
    except requests.TooManyRedirects:
        return _down(now, "answer", "it redirects in circles")
    except (
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
    ):
        return _down(now, "answer", "it redirects to no address of HTTP")
    except (requests.RequestException, OSError) as e:
        down = reaching.failure(e, "route")
        if down is not None:
            return _down(now, *down)
        return _down(now, "answer", "it broke off while it answered")


def _down(now: datetime, step: str, said: str, hint: str = "") -> Observation:
    return Observation(now, {"down": said, "step": step, "hint": hint})


def _expires(answer: requests.Response) -> datetime | None:
    """When the certificate of the connection ends; None without TLS."""
    sock = getattr(getattr(answer.raw, "connection", None), "sock", None)
    if sock is None or not hasattr(sock, "getpeercert"):
        return None
    der = sock.getpeercert(True)
    return x509.load_der_x509_certificate(der).not_valid_after_utc if der else None


def _found(answer: requests.Response, text: str, end: float) -> bool:
    """Whether the first part of the body has the text. The body is not kept."""
    wanted = text.encode(_encoding(answer.encoding), "replace")
    body = bytearray()
    for piece in answer.iter_content(65_536):
        body += piece
        if wanted in body:
            return True
        if len(body) > _BODY or time.monotonic() > end:
            break
    return False


def _encoding(said: str | None) -> str:
    try:
        return codecs.lookup(said or "utf-8").name
    except LookupError:
        return "utf-8"


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    s, config = seen.seen, spec.config
    if "down" in s:
        return Verdict("fail", s["down"], detail={"step": s["step"], "hint": s["hint"]})
    ms = s["seconds"] * 1000
    told = f"{s['status']} in {ms:,.0f} ms"
    detail = {"status": s["status"]}
    if not expected(config["status"], s["status"]):
        return Verdict("fail", f"{told}, expected {config['status']}", ms, detail=detail)
    if s.get("found") is False:
        return Verdict("fail", f"{told}, without the text that it must have", ms, detail=detail)
    slow, slower = config.get("warn_after"), config.get("error_after")
    if slower and s["seconds"] > slower:
        return Verdict("fail", f"{told}, limit {slower * 1000:,.0f} ms", ms, detail=detail)
    warned = f"{told}, limit {slow * 1000:,.0f} ms" if slow and s["seconds"] > slow else ""
    if s["expires"] is not None:
        left = s["expires"] - seen.at
        detail["certificate_ends"] = s["expires"].isoformat()
        told += f"; certificate until {s['expires'].astimezone(UTC):%Y-%m-%d}"
        if left < timedelta(0):
            return Verdict(
                "fail", f"its certificate ended {in_words(-left.total_seconds())} ago", ms, detail=detail
            )
        if left < timedelta(days=config["certificate_days"]):
            warned = warned or f"its certificate ends in {in_words(left.total_seconds())}"
    return Verdict("warn" if warned else "ok", warned or told, ms, detail=detail)


def expected(said: str, status: int) -> bool:
    """Whether a status is among '200-299, 304'."""
    return any(low <= status <= high for low, high in ranges(said))


def ranges(said: str) -> list[tuple[int, int]]:
    """'200-299, 304' as pairs; ValueError where it is something else."""
    out = []
    for part in said.replace(" ", "").split(","):
        match = re.fullmatch(r"([1-5]\d\d)(?:-([1-5]\d\d))?", part)
        if match is None:
            raise ValueError(part)
        out.append((int(match[1]), int(match[2] or match[1])))
    return out


def agree(config: Mapping[str, Any], via: str | None) -> None:
    try:
        ranges(config["status"])
    except ValueError:
        raise Invalid(
            "status is not a list of codes", field="config.status", hint="e.g. 200-299, 304"
        ) from None
    if (
        config.get("warn_after")
        and config.get("error_after")
        and config["warn_after"] >= config["error_after"]
    ):
        raise Invalid("the warning comes before the error", field="config.warn_after", hint="a shorter time")
    path = str(config.get("path", ""))
    if re.search(r"[\s#]|://|^//", path) or not path.isascii():
        raise Invalid(
            "path is what follows the connection's address",
            field="config.path",
            hint="e.g. health?full=1, percent-encoded",
        )


KIND = Kind(
    name="http",
    label="HTTP",
    says="The address does not answer as it should",
    fields=(
        Field("path", "Path", example="health", help="Below the address of the connection. Empty: that address itself"),
        Field("method", "Method", "choice", default="GET", choices=(("GET", "GET"), ("HEAD", "HEAD"))),
        Field("status", "Expected status", default="200-299", limit=True, example="200-299, 304"),
        Field(
            "contains", "The answer must contain", only=("method", ("GET",)), limit=True,
            help="In its first megabyte. The answer itself is not kept",
        ),
        Field("follow", "Follow redirects", "switch", default=True),
        Field("warn_after", "Warn when slower than", "duration", low=0.01, high=60, limit=True, example="0.8 s"),
        Field("error_after", "Fail when slower than", "duration", low=0.01, high=60, limit=True, example="3 s"),
        Field("timeout", "Give up after", "duration", default=10, low=1, high=25, limit=True),
        Field(
            "certificate_days", "Warn days before its certificate ends", "whole", default=14, low=0, high=365, limit=True,
            help="HTTPS only. One that has ended fails",
        ),
    ),
    observe=observe,
    judge=judge,
    connections=("http",),
    systems=("https", "api", "http"),
    every_seconds=60,
    unit="ms",
    agree=agree,
)  # fmt: skip
