"""Which addresses DLV opens a socket to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings
from connections import guard
from connections.guard import NEVER, OUTSIDE, OWN, PRIVATE, Guard, Refused

NAMES: dict[str, list[str]] = {}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str]]]:
    """A name server of our own: what stands in it resolves so, all else as ever."""
    real = socket.getaddrinfo

    def lookup(host: str, port: int, *args: object, **how: object) -> list[tuple[object, ...]]:
        if host in NAMES:
            return [
                (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
                for a in NAMES[host]
            ]
        return real(host, port, *args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    NAMES.clear()
    guard._known.clear()
    yield NAMES


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "169.254.170.2",
        "0.0.0.0",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "::",
        "fe80::1",
        "fe80::1%lo",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:169.254.169.254",  # mapped
        "::169.254.169.254",  # compatible
        "2002:a9fe:a9fe::1",  # 6to4
        "64:ff9b::a9fe:a9fe",  # NAT64
        "64:ff9b:1::a9fe:a9fe",  # NAT64 of one's own
        "2001:0:a9fe:a9fe:0:0:0:0",  # Teredo's server
        "2001:0:4136:e378:8000:63bf:5601:5601",  # Teredo's client, 169.254.169.254 inverted
    ],
)
def test_never(address: str) -> None:
    assert Guard().why_not(address, 80) == NEVER
    assert Guard(guard.networks("0.0.0.0/0 ::/0")).why_not(address, 80) == NEVER


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "8.8.8.8", "::1", "fd12::1", "2606:4700::1"]
)
def test_all_else_may_be_where_nothing_is_said(address: str) -> None:
    assert Guard().why_not(address, 5432) is None


@pytest.mark.parametrize(
    "written", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "0xA9.0xFE.0xA9.0xFE"]
)
def test_numeric_forms_are_what_they_resolve_to(written: str) -> None:
    with pytest.raises(Refused, match="metadata"):
        Guard().resolve(written, 80)


@pytest.mark.parametrize("written", ["/var/run/postgresql", "@abstract", ""])
def test_a_socket_path_is_no_host(written: str) -> None:
    with pytest.raises(Refused):
        Guard().resolve(written, 5432)


def test_of_a_name_with_several_addresses_only_the_good_ones_are_left(names: dict[str, list[str]]) -> None:
    names["mixed"] = ["169.254.169.254", "10.0.0.7", "::ffff:169.254.169.254", "10.0.0.8"]
    assert Guard().resolve("mixed", 443) == ["10.0.0.7", "10.0.0.8"]
    names["bad"] = ["169.254.169.254"]
    with pytest.raises(Refused) as e:
        Guard().resolve("bad", 443)
    assert "bad (169.254.169.254)" in e.value.message and e.value.field == "host"


def test_the_allow_list() -> None:
    only = Guard(guard.networks("10.0.0.0/8, 192.168.1.5 fd00::/8"))
    assert [only.why_not(a, 1) for a in ("10.9.9.9", "192.168.1.5", "fd00::5", "::ffff:10.0.0.1")] == [
        None
    ] * 4
    refused = (
        "192.168.1.6",
        "127.0.0.1",
        "::1",
        "8.8.8.8",
        "2606:4700::1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
    )
    assert {a: only.why_not(a, 1) for a in refused} == dict.fromkeys(refused, OUTSIDE)


def test_private_addresses_where_only_public_ones_may_be() -> None:
    public = Guard(private=False)
    refused = (
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
    )
    assert {a: public.why_not(a, 443) for a in refused} == dict.fromkeys(refused, PRIVATE)
    assert public.why_not("8.8.8.8", 443) is None
    assert Guard(guard.networks("10.0.0.0/8"), private=False).why_not("10.0.0.1", 443) is None


def test_own_stores_by_every_name_of_the_same_server(names: dict[str, list[str]]) -> None:
    names |= {
        "record.internal": ["10.0.0.5", "10.0.0.6"],
        "alias.example": ["10.0.0.6"],
        "other": ["10.0.0.7"],
    }
    g = Guard(own=(("record.internal", 5432), ("localhost", 6379)))
    for host in ("record.internal", "alias.example", "10.0.0.5", "::ffff:10.0.0.5"):
        with pytest.raises(Refused, match="own stores"):
            g.resolve(host, 5432)
    assert g.resolve("alias.example", 5433) == ["10.0.0.6"]
    assert g.resolve("other", 5432) == ["10.0.0.7"]
    here = [str(a) for a in guard._interface_addresses() if not a.is_link_local]
    for address in ("127.0.0.1", "127.0.0.2", "127.8.9.10", "::1", "::ffff:127.0.0.1", *here):
        assert g.why_not(address, 6379) == OWN, address
    assert g.why_not("127.0.0.1", 6380) is None


def test_a_store_whose_name_does_not_resolve_just_now_is_still_known(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["record.internal"] = ["10.0.0.5"]
    g = Guard(own=(("record.internal", 5432),))
    assert g.why_not("10.0.0.5", 5432) == OWN
    del names["record.internal"]
    monkeypatch.setattr(guard, "OWN_SECONDS", 0.0)
    guard._known["record.internal"] = (0.0, guard._known["record.internal"][1])
    assert g.why_not("10.0.0.5", 5432) == OWN


def test_own_stores_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "arcadedb_http_port").write_text("2480\n")
    told = {
        "DLV_HOME": str(tmp_path),
        "DLV_DATABASE_URL": "postgresql://u:p@db-1:5433,db-2:5433/dlv",
        "DLV_REDIS_URL": "rediss://:p@queue/0",
        "DLV_GRAPH_URL": "neo4j+s://graph:7999",
    }
    assert set(guard.own_stores(settings.load(told))) == {
        ("db-1", 5433), ("db-2", 5433), ("queue", 6379),
        ("graph", 7999), ("graph", 7687), ("graph", 7474), ("graph", 7473), ("graph", 2480),
    }  # fmt: skip
    sockets = told | {
        "DLV_DATABASE_URL": "postgresql://u:p@/dlv?host=/run/postgresql&port=5432",
        "DLV_REDIS_URL": "unix:///run/valkey.sock",
        "DLV_GRAPH_URL": "",
    }
    assert guard.own_stores(settings.load(sockets)) == []


def test_what_was_checked_is_what_is_connected_to(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers once with a good address and then with a bad one (DNS rebinding)."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, *args: object, **how: object) -> object:
        if host == "rebind":
            asked.append(host)
            names["rebind"] = ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]
        return real(host, *args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with Guard().connect("rebind", port, 5) as s:
            assert s.getpeername() == ("127.0.0.1", port)
    assert asked == ["rebind"]


def test_all_addresses_are_tried_within_the_time(names: dict[str, list[str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        names["twice"] = ["127.0.0.9", "127.0.0.1"]
        with Guard().connect("twice", port, 5) as s:
            assert s.getpeername()[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        Guard().connect("twice", port, 5)


def test_many_at_once(names: dict[str, list[str]]) -> None:
    names["record.internal"] = ["10.0.0.5"]
    g = Guard(own=(("record.internal", 5432),))
    said: list[str | None] = []
    threads = [threading.Thread(target=lambda: said.append(g.why_not("10.0.0.5", 5432))) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert said == [OWN] * 20
