"""HTTP and reachable, against real listeners: what is down, what is DLV's own affair, and what nobody may be told."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import serving
from certificates import Authority
from listeners import Answer, Asked, listening
from looking import look

from checks.result import Verdict
from connections import guard
from connections.kinds import KINDS
from connections.link import Link
from settings import Settings


def link(url: str, secret: dict[str, str] | None = None, **fields: Any) -> Link:
    plain = KINDS["http"].checked({"url": url} | fields)
    return Link(uuid4(), "an api", "http", plain, guard.Guard(), secret or {}, 4.0)


def said(got: Verdict, status: str, *words: str, step: str | None = None) -> Verdict:
    assert got.status == status, got
    for word in words:
        assert word in got.reason, got
    if step:
        assert got.detail and got.detail["step"] == step, got
    return got


def closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)
        yield int(s.getsockname()[1])


# ---------------------------------------------------------------- HTTP


def answers(asked: Asked) -> Answer:
    path = asked.path.split("?")[0]
    if path == "/slow":
        time.sleep(0.4)
    if path == "/moved":
        return Answer(302, "", {"Location": "/good"})
    if path == "/circle":
        return Answer(302, "", {"Location": "/circle"})
    if path == "/away":
        return Answer(302, "", {"Location": "http://169.254.169.254/latest"})
    codes = {"/missing": 404, "/broken": 500, "/good": 200, "/slow": 200, "/open/health": 200}
    if path == "/closed" and asked.headers.get("Authorization") != "Bearer tell nobody":
        return Answer(401, {"error": "who are you"})
    return Answer(codes.get(path, 200), b"all is well, Ada" if path == "/good" else {"ok": True})


def test_status_text_and_time_of_an_answer() -> None:
    with listening(answers) as server:
        at = link(server.url)
        good = said(look(at, "http", path="good", contains="all is well"), "ok", "200 in")
        assert good.value is not None and good.value > 0
        said(look(at, "http", path="missing"), "fail", "404", "expected 200-299")
        said(look(at, "http", path="missing", status="200, 404"), "ok", "404")
        said(look(at, "http", path="broken"), "fail", "500")
        # what the answer holds is kept nowhere
        got = said(look(at, "http", path="good", contains="all is lost"), "fail", "without the text")
        assert "Ada" not in f"{got}" and "lost" not in got.reason
        said(look(at, "http", path="slow", warn_after="0.1 s", error_after="5 s"), "warn", "limit 100 ms")
        said(look(at, "http", path="slow", error_after="0.2 s"), "fail", "limit 200 ms")
        said(look(at, "http", method="HEAD", path="good"), "ok")
        assert server.asked[-1].method == "HEAD"
        said(look(link(f"{server.url}/open"), "http", path="health?full=1"), "ok")
        assert server.asked[-1].path == "/open/health?full=1"


def test_redirects_and_signing_in() -> None:
    with listening(answers) as server:
        at = link(server.url)
        said(look(at, "http", path="moved", contains="well"), "ok")
        said(look(at, "http", path="moved", follow=False), "fail", "302")
        said(look(at, "http", path="moved", follow=False, status="302"), "ok")
        said(look(at, "http", path="circle"), "fail", "in circles")
        # the guard stands before a redirect's address as well: DLV did not look, the service may be good
        said(look(at, "http", path="away"), "not_checked", "169.254.169.254", step="route")
        said(look(at, "http", path="closed"), "fail", "401")
        signed = link(server.url, {"token": "tell nobody"}, auth="bearer")
        assert "tell nobody" not in f"{said(look(signed, 'http', path='closed'), 'ok')}"


def test_what_does_not_answer_is_down_and_what_dlv_cannot_reach_is_unknown(silent: int) -> None:
    said(look(link(f"http://127.0.0.1:{closed_port()}"), "http"), "fail", "nothing listens", step="route")
    said(look(link(f"http://127.0.0.1:{silent}"), "http", timeout=1), "fail", "no answer")
    said(look(link(f"https://127.0.0.1:{silent}"), "http", timeout=1), "fail")
    said(look(link("http://no-such-host.invalid"), "http"), "not_checked", step="name")
    said(look(link("http://169.254.169.254"), "http"), "not_checked", "refused", step="route")


def test_certificates_that_end_are_told_before(tmp_path: Path) -> None:
    authority = Authority()
    with listening(answers, authority.sign("127.0.0.1", "localhost"), tmp_path / "a") as server:
        at = link(server.url, ca=authority.pem)
        good = said(look(at, "http", path="good"), "ok", "certificate until")
        assert good.detail and good.detail["certificate_ends"]
        said(look(at, "http", path="good", certificate_days=365), "warn", "certificate ends in")
        # perhaps it is only this connection that does not name the authority
        said(look(link(server.url), "http"), "not_checked", "not signed by an authority", step="tls")
    with listening(answers, authority.sign("127.0.0.1", expired=True), tmp_path / "b") as server:
        said(look(link(server.url, ca=authority.pem), "http"), "fail", "expired", step="tls")
        # not looked at by the connection, and told all the same
        said(look(link(server.url, tls="encrypted"), "http"), "fail", "certificate ended")
    with listening(answers, authority.sign("elsewhere.example"), tmp_path / "c") as server:
        said(look(link(server.url, ca=authority.pem), "http"), "fail", "another name", step="tls")


# ---------------------------------------------------------------- reachable


@pytest.fixture(scope="module")
def shop(stack: Settings) -> Iterator[serving.Shop]:
    with serving.shop(stack) as made:
        yield made


def database(shop: serving.Shop, password: str | None = None, **change: Any) -> Link:
    fields = {
        "host": "127.0.0.1",
        "port": shop.port,
        "database": shop.database,
        "username": shop.user,
        "tls": "off",
    }
    plain = KINDS["postgres"].checked(fields | change)
    return Link(
        uuid4(), "a shop", "postgres", plain, guard.Guard(), {"password": password or shop.password}, 4.0
    )


def test_a_database_that_answers_and_one_that_does_not(shop: serving.Shop, silent: int) -> None:
    good = said(look(database(shop), "reachable"), "ok", "signed in to Postgres")
    assert good.value is not None and good.value > 0
    said(look(database(shop, port=closed_port()), "reachable"), "fail", "nothing listens", step="route")
    got = said(look(database(shop, port=silent), "reachable", timeout=2), "fail")
    assert "no answer" in got.reason
    said(look(database(shop, host="no-such-host.invalid"), "reachable"), "not_checked", step="name")
    said(look(database(shop, host="169.254.169.254"), "reachable"), "not_checked", step="route")


def test_a_refused_sign_in_is_unknown_unless_the_form_says_otherwise(shop: serving.Shop) -> None:
    wrong = database(shop, "not the password")
    got = said(look(wrong, "reachable"), "not_checked", "does not let DLV in", step="sign-in")
    assert "not the password" not in f"{got}"
    said(look(wrong, "reachable", sign_in="fail"), "fail")
    # a database that is not there is answered by a server that is
    said(look(database(shop, database="nowhere"), "reachable"), "ok", "answers and signs in")


def test_any_kind_of_connection_is_reached() -> None:
    with listening(answers) as server:
        said(look(link(server.url), "reachable"), "ok", "answers 200")
        said(look(link(f"{server.url}/broken"), "reachable"), "fail", step="sign-in")
        said(
            look(link(server.url.replace("http:", "https:")), "reachable"),
            "fail",
            "does not speak TLS",
            step="tls",
        )
