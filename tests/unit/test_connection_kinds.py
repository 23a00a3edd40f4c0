"""Every kind of connection as its declaration: sound, and told by docs/connections.md as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from connections import sql
from connections.kind import Field, Kind, pairs
from connections.kinds import KINDS, kind
from errors import Invalid

PAGE = Path(__file__).resolve().parents[2] / "docs" / "connections.md"


def told(f: Field) -> str:
    """A field as the docs have it."""
    more = [
        f"`{f.default}`" if f.default is not None else "",
        "required" if f.required else "",
        "secret" if f.secret else "",
    ]
    said = ", ".join(m for m in more if m)
    return f"{f.name} ({said})" if said else f.name


def table() -> str:
    return "\n".join(
        f"| {k.label} | `{k.name}` | {', '.join(told(f) for f in k.fields)} |" for k in KINDS.values()
    )


def test_the_docs_tell_every_kind_and_field() -> None:
    assert table() in PAGE.read_text(), f"the table of docs/connections.md should read\n{table()}"


@pytest.mark.parametrize("k", KINDS.values(), ids=list(KINDS))
def test_a_kind_is_sound(k: Kind) -> None:
    names = [f.name for f in k.fields]
    assert len(set(names)) == len(names)
    by_name = {f.name: f for f in k.fields}
    for f in k.fields:
        assert f.label and not (f.secret and f.default), f.name
        if f.when:
            choices = {c[0] for c in by_name[f.when[0]].choices}
            assert set(f.when[1]) <= choices, f.name
        if f.kind == "choice":
            assert f.default in {c[0] for c in f.choices}, f.name
        if f.kind in ("host", "port", "url", "hosts"):
            assert f.binds, f"{f.name} says where secrets go, so a change of it wants them anew"
        # the audit hides fields whose names speak of secrets; a plain one must not be among them
        assert f.secret or not any(w in f.name for w in ("password", "token", "secret", "private", "key"))
    assert any(f.binds for f in k.fields) or not k.secret


def test_further_dialects_are_one_entry() -> None:
    assert set(sql.DIALECTS) == {k.name for k in sql.KINDS}


def test_what_does_not_count_is_dropped_and_not_asked_for() -> None:
    http = KINDS["http"]
    assert http.checked({"url": "https://h/", "auth": "none", "username": "x"}) == {
        "url": "https://h", "auth": "none", "tls": "verified",
    }  # fmt: skip
    with pytest.raises(Invalid, match="User is missing"):
        http.checked({"url": "https://h", "auth": "basic"})
    with pytest.raises(Invalid, match="Password is missing"):
        http.needs(http.checked({"url": "https://h", "auth": "basic", "username": "u"}), {})
    assert http.checked({"url": "https://h", "ca": None, "header": ""})["tls"] == "verified"


@pytest.mark.parametrize("port", [0, 65536, -1, "x", 5432.5, True, [], {}, "5432; drop"])
def test_a_port_is_a_port(port: object) -> None:
    with pytest.raises(Invalid) as e:
        KINDS["postgres"].checked({"host": "h", "database": "d", "username": "u", "port": port})
    assert e.value.field == "port"


def test_a_port_may_be_text() -> None:
    said = KINDS["postgres"].checked({"host": "[::1]", "database": "d", "username": "u", "port": "5433"})
    assert (said["host"], said["port"]) == ("::1", 5433)


def test_bootstrap_servers() -> None:
    read = KINDS["kafka"].checked({"bootstrap": " a:1,\n b.example:9092  [::1]:3 ", "tls": "off"})[
        "bootstrap"
    ]
    assert read == "a:1,b.example:9092,[::1]:3"
    assert pairs(read) == [("a", 1), ("b.example", 9092), ("::1", 3)]
    for wrong in ("a", "a:0", "a:x", "PLAINTEXT://a:1", "a:1/b", "u:p@a:1", ",", ""):
        with pytest.raises(Invalid) as e:
            KINDS["kafka"].checked({"bootstrap": wrong})
        assert e.value.field == "bootstrap"


def test_pem_is_pem_and_a_key_is_no_certificate() -> None:
    kafka, base = KINDS["kafka"], {"bootstrap": "a:1"}
    for wrong in (
        "x",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----",
    ):
        with pytest.raises(Invalid) as e:
            kafka.checked(base | {"ca": wrong})
        assert e.value.field == "ca"
    assert kafka.checked_secrets({"client_key": None, "password": ""}) == {
        "client_key": None,
        "password": None,
    }


@pytest.mark.parametrize("header", ["Host", "content-length", "X Key", "X:Key", "X-Key\r\nY", "é"])
def test_a_header_is_one_of_its_own(header: str) -> None:
    with pytest.raises(Invalid):
        KINDS["http"].checked({"url": "https://h", "auth": "header", "header": header})


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(Invalid, match="'oracle'"):
        kind("oracle")
