"""The audit log: one row for each thing somebody did, and a chain that shows every change of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from store import audit
from store.audit import Actor
from store.record import Record
from tests.web import PASSWORD, Web

ANN = Actor("user", "00000000-0000-4000-8000-00000000000a", "ann", "10.0.0.9")


def fill(record: Record, n: int = 6) -> None:
    for i in range(n):
        with record.tx() as conn:
            audit.write(
                conn,
                ANN,
                "node.edit",
                "node",
                i,
                {"owner": None},
                {"owner": f"team {i}", "n": 1.50, "big": 10**20},
            )


def test_an_untouched_chain_holds(record: Record) -> None:
    assert audit.verify(record) == (True, None)
    fill(record)
    assert audit.verify(record) == (True, None)
    assert audit.head(record)[0] == 6


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("update audit_log set actor_name = 'bob' where seq = 3", 3),
        ('update audit_log set after = after || \'{"owner": "x"}\' where seq = 3', 3),
        ("update audit_log set before = null where seq = 3", 3),
        ("update audit_log set at = at + interval '1 microsecond' where seq = 3", 3),
        ("update audit_log set remote_addr = '' where seq = 3", 3),
        ("delete from audit_log where seq = 3", 3),
        ("delete from audit_log where seq = 1", 1),
        ("update audit_log set seq = seq + 100 where seq = 6", 6),
        ("update audit_log set hash = sha256('x') where seq = 3", 3),
        ("update audit_log set prev_hash = sha256('x') where seq = 3", 3),
    ],
)
def test_every_tampering_is_found_where_it_is(record: Record, tampering: str, broken: int) -> None:
    fill(record)
    with record.tx() as conn:
        assert conn.execute(tampering).rowcount == 1
    assert audit.verify(record) == (False, broken)


def test_a_row_rewritten_with_a_right_hash_breaks_at_the_next(record: Record) -> None:
    fill(record)
    row = record.one("select * from audit_log where seq = 3")
    assert row is not None
    row["actor_name"] = "bob"
    with record.tx() as conn:
        conn.execute(
            "update audit_log set actor_name = 'bob', hash = %s where seq = 3",
            (audit.digest(row, bytes(row["prev_hash"])),),
        )
    assert audit.verify(record) == (False, 4)


def test_writers_at_once_make_one_chain(record: Record) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: fill(record, 10), range(6)))
    assert audit.verify(record) == (True, None)
    assert audit.head(record)[0] == 60


def test_a_rolled_back_change_leaves_no_row_and_no_gap(record: Record) -> None:
    fill(record, 2)
    with pytest.raises(RuntimeError), record.tx() as conn:
        audit.write(conn, ANN, "node.edit", "node", 9)
        raise RuntimeError("the change failed")
    fill(record, 2)
    assert audit.verify(record) == (True, None)
    assert audit.head(record)[0] == 4


def test_secrets_and_unstorable_characters_never_reach_the_log(record: Record) -> None:
    with record.tx() as conn:
        audit.write(
            conn,
            Actor("user", "u\x00", "ann\x00\ud800", "1"),
            "connection.edit",
            "connection",
            "a\x00b",
            {"password": "hunter2"},
            {
                "nested": {"api_token": "t0p"},
                "text": "a\x00\ud800",
                "has_secret": True,
                "at": datetime.now(UTC),
            },
        )
    row = record.one("select * from audit_log")
    assert row is not None
    assert "hunter2" not in str(row)
    assert "t0p" not in str(row)
    assert row["after"]["has_secret"] is True
    assert audit.verify(record) == (True, None)


def test_pages_and_filters(record: Record) -> None:
    fill(record, 5)
    with record.tx() as conn:
        audit.write(conn, Actor("system", "dlv", "DLV"), "team.create", "team", "t1")
    assert [r["seq"] for r in audit.page(record, limit=2)] == [6, 5]
    assert [r["seq"] for r in audit.page(record, cursor=5, limit=3)] == [4, 3, 2]
    assert [r["seq"] for r in audit.page(record, {"action": "team."})] == [6]
    assert [r["seq"] for r in audit.page(record, {"actor": "ann", "object_id": "2"})] == [3]
    assert audit.page(record, {"since": datetime(2100, 1, 1, tzinfo=UTC)}) == []
    assert len(audit.page(record, {"until": datetime(2100, 1, 1, tzinfo=UTC), "object_type": "node"})) == 5


def test_what_people_do_over_rest_is_in_the_log_in_order(web: Web) -> None:
    headers = web.bearer("admin")
    web.client().post("/api/v1/auth/login", json={"username": "the-admin", "password": "wrong"})
    user = (
        web.client().post("/api/v1/users", json={"username": "eve", "role": "viewer"}, headers=headers).json
    )
    web.client().patch(f"/api/v1/users/{user['id']}", json={"role": "responder"}, headers=headers)
    key = web.client().post("/api/v1/api-keys", json={"name": "k", "scopes": ["read"]}, headers=headers).json
    web.client().delete(f"/api/v1/api-keys/{key['id']}", headers=headers)
    web.client().post("/api/v1/auth/logout", headers=headers)
    rows = web.record.all("select * from audit_log order by seq")
    assert [r["action"] for r in rows] == [
        "user.create",
        "session.start",
        "session.refused",
        "user.create",
        "user.edit",
        "api_key.create",
        "api_key.revoke",
        "session.end",
    ]
    edit = rows[4]
    assert (edit["actor_name"], edit["remote_addr"]) == ("the-admin", "127.0.0.1")
    assert (edit["before"], edit["after"]) == ({"role": "viewer"}, {"role": "responder"})
    again = web.bearer("admin")
    said = web.client().get("/api/v1/audit/verify", headers=again).json
    assert (said["ok"], said["rows"]) == (True, 9)
    first = web.client().get("/api/v1/audit?limit=4", headers=again).json
    rest = web.client().get(f"/api/v1/audit?limit=10&cursor={first['next']}", headers=again).json
    assert [r["seq"] for r in first["items"] + rest["items"]] == list(range(9, 0, -1))
    assert rest["next"] is None
    for secret in (PASSWORD, user["one_time_password"], key["key"]):
        assert secret not in str(rows)
