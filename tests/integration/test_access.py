"""Signing in and staying so: passwords, throttling, sessions, tokens, keys, CSRF. On a real record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask_jwt_extended import create_access_token

from auth import signin, tokens
from errors import Changed, Conflict
from store import keys, users
from store.audit import SYSTEM
from tests.web import PASSWORD, Web


def test_wrong_password_unknown_user_and_disabled_user_get_one_answer(web: Web) -> None:
    name = web.user("viewer")
    with web.record.tx() as conn:
        gone = users.create(
            conn, SYSTEM, "gone", "viewer", signin.passwords.hashed(PASSWORD), must_change=False
        )
        users.edit(conn, SYSTEM, gone["id"], {"disabled": True})
    said = []
    for username, password in ((name, "no"), ("nobody", "no"), ("gone", PASSWORD)):
        answer = web.client().post("/api/v1/auth/login", json={"username": username, "password": password})
        assert answer.status_code == 401
        said.append(answer.json["error"] | {"request_id": ""})
    assert said[0] == said[1] == said[2]
    refused = web.record.all(
        "select actor_name, after from audit_log where action = 'session.refused' order by seq"
    )
    assert [r["after"]["why"] for r in refused] == ["wrong password", "no such user", "disabled"]


@pytest.mark.parametrize("username", ["the-viewer", "nobody"])
def test_ten_failures_of_a_name_throttle_it_even_with_the_right_password(web: Web, username: str) -> None:
    web.user("viewer")
    for _ in range(signin.BY_NAME):
        web.client().post("/api/v1/auth/login", json={"username": username, "password": "no"})
    answer = web.client().post("/api/v1/auth/login", json={"username": username, "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= signin.WITHIN.total_seconds() + 1
    page = web.client().post("/sign-in", data={"username": username, "password": PASSWORD})
    assert page.status_code == 429
    assert "Too many failed sign-ins" in page.text
    assert (
        web.client().post("/sign-in", data={"username": web.user("admin"), "password": PASSWORD}).status_code
        == 303
    )


def test_an_address_is_throttled_whatever_names_it_tries(web: Web) -> None:
    name = web.user("viewer")
    with web.record.tx() as conn:
        conn.execute(
            """insert into sign_in_attempt (username, remote_addr, succeeded)
               select 'guess' || n, '127.0.0.1', false from generate_series(1, %s) n""",
            (signin.BY_ADDRESS,),
        )
    said = {"username": name, "password": PASSWORD}
    assert web.client().post("/api/v1/auth/login", json=said).status_code == 429
    other = {"REMOTE_ADDR": "127.0.0.9"}
    assert web.client().post("/api/v1/auth/login", json=said, environ_base=other).status_code == 200


def test_first_admin_with_a_one_time_password_must_choose_another(web: Web) -> None:
    settings = web.settings.with_(admin_password=None)
    once = signin.first_admin(web.record, settings)
    assert once
    assert signin.first_admin(web.record, settings) is None
    client = web.client()
    answer = client.post("/sign-in?next=/audit", data={"username": "admin", "password": once})
    assert answer.headers["Location"] == "/password?next=/audit"
    html = {"Accept": "text/html"}
    assert client.get("/", headers=html).headers["Location"].startswith("/password")
    refused = client.get("/api/v1/users")
    assert (refused.status_code, refused.json["error"]["code"]) == (403, "password_change_required")
    assert client.get("/_dash-layout").status_code == 403
    csrf = client.get_cookie(tokens.CSRF_COOKIE).value
    form = {"csrf_token": csrf, "current_password": once, "next": "/audit"}
    weak = client.post("/password", data=form | {"new_password": "admin12345", "again": "admin12345"})
    assert weak.status_code == 422
    assert "too easy to guess" in weak.text
    new = "seven lazy dogs"
    done = client.post("/password", data=form | {"new_password": new, "again": new})
    assert (done.status_code, done.headers["Location"]) == (303, "/audit")
    assert client.get("/api/v1/users").status_code == 200
    login = {"username": "admin", "password": once}
    assert web.client().post("/api/v1/auth/login", json=login).status_code == 401


def test_given_admin_password_signs_in_without_a_change(web: Web) -> None:
    assert web.first_admin() is None
    login = {"username": "admin", "password": web.settings.admin_password}
    said = web.client().post("/api/v1/auth/login", json=login).json
    headers = {"Authorization": f"Bearer {said['access_token']}"}
    assert web.client().get("/api/v1/me", headers=headers).json["role"] == "admin"
    assert said["must_change"] is False


@pytest.mark.parametrize(
    "where",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/%5C/evil", "javascript:x", "/a\nb"],
)
def test_nobody_is_sent_elsewhere_after_signing_in(web: Web, where: str) -> None:
    answer = web.client().post(
        "/sign-in", query_string={"next": where}, data={"username": web.user("viewer"), "password": PASSWORD}
    )
    location = answer.headers["Location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


def test_a_form_from_another_site_does_not_sign_in(web: Web) -> None:
    data = {"username": web.user("viewer"), "password": PASSWORD}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = web.client().post("/sign-in", data=data, headers=headers)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers


def test_cookies_are_shut_to_scripts_and_other_sites(web: Web) -> None:
    answer = web.client().post("/sign-in", data={"username": web.user("viewer"), "password": PASSWORD})
    cookies = {c.split("=")[0]: c for c in answer.headers.getlist("Set-Cookie")}
    assert set(cookies) == {"dlv_session", tokens.CSRF_COOKIE}
    assert "HttpOnly" in cookies["dlv_session"]
    assert all("SameSite=Lax" in c and "Path=/" in c for c in cookies.values())


def test_secure_cookies_and_hsts_where_set(settled) -> None:  # type: ignore[no-untyped-def]
    web = Web(settled.with_(secure_cookies=True))
    try:
        answer = web.client().post("/sign-in", data={"username": web.user("viewer"), "password": PASSWORD})
        assert all("Secure" in c for c in answer.headers.getlist("Set-Cookie"))
        assert "Strict-Transport-Security" in answer.headers
    finally:
        web.close()


def test_a_cookie_writes_only_with_the_csrf_token(web: Web) -> None:
    client, csrf = web.page("admin")
    body = {"username": "new.person", "role": "viewer"}
    refused = client.post("/api/v1/users", json=body)
    assert (refused.status_code, refused.json["error"]["field"]) == (403, tokens.CSRF_HEADER)
    wrong = client.post("/api/v1/users", json=body, headers={tokens.CSRF_HEADER: "0" * 36})
    assert wrong.status_code == 403
    assert web.record.one("select 1 from app_user where username = 'new.person'") is None
    assert client.post("/api/v1/users", json=body, headers=csrf).status_code == 201
    assert client.post("/sign-out", data={}).status_code == 403
    assert client.post("/sign-out", data={"csrf_token": csrf[tokens.CSRF_HEADER]}).status_code == 303
    assert client.get("/api/v1/me").status_code == 401


def test_signing_out_ends_the_session_not_only_the_cookie(web: Web) -> None:
    client, csrf = web.page("viewer")
    kept = client.get_cookie("dlv_session").value
    client.post("/sign-out", headers=csrf)
    thief = web.client()
    thief.set_cookie("dlv_session", kept)
    assert thief.get("/api/v1/me").status_code == 401
    headers = web.bearer("viewer")
    assert web.client().post("/api/v1/auth/logout", headers=headers).status_code == 204
    assert web.client().get("/api/v1/me", headers=headers).status_code == 401


def test_refresh_rotates_and_its_second_use_ends_the_session(web: Web) -> None:
    first = web.login("viewer")
    second = web.client().post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]}).json
    third = web.client().post("/api/v1/auth/refresh", json={"refresh_token": second["refresh_token"]}).json
    headers = {"Authorization": f"Bearer {third['access_token']}"}
    assert web.client().get("/api/v1/me", headers=headers).status_code == 200
    stolen = web.client().post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert stolen.status_code == 401
    assert web.client().get("/api/v1/me", headers=headers).status_code == 401
    last = web.client().post("/api/v1/auth/refresh", json={"refresh_token": third["refresh_token"]})
    assert last.status_code == 401
    row = web.record.one("select after from audit_log where action = 'session.end'")
    assert row is not None
    assert row["after"] == {"reason": "refresh token used twice"}


def test_access_and_refresh_tokens_do_not_stand_in_for_each_other(web: Web) -> None:
    said = web.login("viewer")
    wrong = {"Authorization": f"Bearer {said['refresh_token']}"}
    assert web.client().get("/api/v1/me", headers=wrong).status_code == 401
    answer = web.client().post("/api/v1/auth/refresh", json={"refresh_token": said["access_token"]})
    assert answer.status_code == 401


def test_tokens_of_another_key_issuer_or_without_signature_are_refused(web: Web) -> None:
    import jwt

    said = web.login("admin")["access_token"]
    claims = jwt.decode(said, options={"verify_signature": False})
    forged = [
        jwt.encode(claims, "k" * 40, "HS256"),
        jwt.encode(claims, "", "none"),
        jwt.encode(claims | {"iss": "else"}, web.server.config["JWT_SECRET_KEY"], "HS256"),
        jwt.encode(claims | {"aud": "else"}, web.server.config["JWT_SECRET_KEY"], "HS256"),
        jwt.encode(claims | {"exp": 1}, web.server.config["JWT_SECRET_KEY"], "HS256"),
    ]
    for token in forged:
        answer = web.client().get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token
    for header in ("Bearer", "Bearer ", "Basic !!!", "Bearer a b c", "bearer dlv_", "dlv_x", "Bearer \x7f"):
        assert web.client().get("/api/v1/me", headers={"Authorization": header}).status_code == 401, header


def test_the_role_comes_from_the_store_not_from_the_token(web: Web) -> None:
    web.user("viewer")
    row = web.record.one(
        """insert into user_session (id, user_id, kind, expires_at)
           values (gen_random_uuid(), %s, 'api', now() + interval '1 hour') returning id""",
        (web.user_id("the-viewer"),),
    )
    assert row is not None
    with web.server.app_context():
        claims = {"sid": str(row["id"]), "role": "admin", "groups": ["admin"]}
        token = create_access_token(str(web.user_id("the-viewer")), additional_claims=claims)
    headers = {"Authorization": f"Bearer {token}"}
    assert web.client().get("/api/v1/me", headers=headers).json["role"] == "viewer"
    assert web.client().get("/api/v1/users", headers=headers).status_code == 403


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"disabled": True}])
def test_a_change_of_role_or_a_disable_ends_sessions_at_once(web: Web, change: dict[str, object]) -> None:
    admin = web.bearer("admin")
    client, _ = web.page("admin", "second")
    bearer = web.bearer("admin", "second")
    refresh = web.login("admin", "second")["refresh_token"]
    edited = web.client().patch(f"/api/v1/users/{web.user_id('second')}", json=change, headers=admin)
    assert edited.status_code == 200, edited.text
    assert client.get("/api/v1/me").status_code == 401
    assert web.client().get("/api/v1/me", headers=bearer).status_code == 401
    assert web.client().post("/api/v1/auth/refresh", json={"refresh_token": refresh}).status_code == 401
    assert web.client().get("/api/v1/me", headers=admin).status_code == 200


def test_idle_and_old_sessions_are_over(web: Web) -> None:
    for column, value in (
        ("last_seen_at", "now() - interval '8 days'"),
        ("expires_at", "now() - interval '1 s'"),
    ):
        headers = web.bearer("viewer")
        with web.record.tx() as conn:
            conn.execute(f"update user_session set {column} = {value}")
        assert web.client().get("/api/v1/me", headers=headers).status_code == 401


def test_one_lists_and_ends_one_s_own_sessions_only(web: Web) -> None:
    mine = web.bearer("viewer")
    other = web.bearer("viewer")
    web.bearer("admin")
    listed = web.client().get("/api/v1/me/sessions", headers=mine).json["items"]
    assert [s["current"] for s in listed] == [False, True]
    theirs = web.record.one(
        "select s.id from user_session s join app_user u on u.id = s.user_id where u.username = 'the-admin'"
    )
    assert theirs is not None
    assert web.client().delete(f"/api/v1/me/sessions/{theirs['id']}", headers=mine).status_code == 404
    assert web.client().delete(f"/api/v1/me/sessions/{listed[0]['id']}", headers=mine).status_code == 204
    assert web.client().get("/api/v1/me", headers=other).status_code == 401


def test_changing_one_s_password_ends_the_other_sessions(web: Web) -> None:
    mine, other = web.bearer("viewer"), web.bearer("viewer")
    said = {"current_password": "no", "new_password": "quite another phrase"}
    wrong = web.client().post("/api/v1/me/password", json=said, headers=mine)
    assert (wrong.status_code, wrong.json["error"]["field"]) == (422, "current_password")
    said["current_password"] = PASSWORD
    assert web.client().post("/api/v1/me/password", json=said, headers=mine).status_code == 204
    assert web.client().get("/api/v1/me", headers=mine).status_code == 200
    assert web.client().get("/api/v1/me", headers=other).status_code == 401


def test_the_last_admin_stays_one(web: Web) -> None:
    headers = web.bearer("admin")
    where = f"/api/v1/users/{web.user_id('the-admin')}"
    for change, field in (({"role": "viewer"}, "role"), ({"disabled": True}, "disabled")):
        answer = web.client().patch(where, json=change, headers=headers)
        assert (answer.status_code, answer.json["error"]["field"]) == (409, field)
    with web.record.tx() as conn, pytest.raises(Conflict):
        users.edit(conn, SYSTEM, web.user_id("the-admin"), {"role": "responder"})


def test_two_admins_editing_one_user_the_second_is_told(web: Web) -> None:
    headers = web.bearer("admin")
    web.user("viewer")
    where = f"/api/v1/users/{web.user_id('the-viewer')}"
    seen = web.client().get(where, headers=headers).json["version"]
    web.client().patch(where, json={"display_name": "Vera", "version": seen}, headers=headers)
    late = web.client().patch(
        where, json={"display_name": "Veronica"}, headers=headers | {"If-Match": f'"{seen}"'}
    )
    assert late.status_code == 412
    assert late.json["error"]["changes"] == {"display_name": {"yours": "Veronica", "theirs": "Vera"}}
    with web.record.tx() as conn, pytest.raises(Changed):
        users.edit(conn, SYSTEM, web.user_id("the-viewer"), {"display_name": "V"}, seen)


def test_a_new_user_gets_a_one_time_password_once(web: Web) -> None:
    headers = web.bearer("admin")
    made = web.client().post("/api/v1/users", json={"username": "ann", "role": "responder"}, headers=headers)
    assert made.status_code == 201
    once = made.json["one_time_password"]
    assert once
    again = web.client().get(f"/api/v1/users/{made.json['id']}", headers=headers).json
    assert "one_time_password" not in again
    assert again["must_change"] is True
    taken = web.client().post("/api/v1/users", json={"username": "ann", "role": "viewer"}, headers=headers)
    assert (taken.status_code, taken.json["error"]["field"]) == (409, "username")
    assert once not in str(web.record.all("select * from audit_log"))


def test_a_key_is_shown_once_and_kept_as_a_hash(web: Web) -> None:
    headers = web.bearer("admin")
    said = {"name": "airflow", "scopes": ["lineage:write", "read"], "environment": "prod"}
    made = web.client().post("/api/v1/api-keys", json=said, headers=headers)
    assert made.status_code == 201
    key, id_ = made.json["key"], made.json["id"]
    assert key.startswith("dlv_")
    everything = web.client().get("/api/v1/api-keys", headers=headers).text
    assert key not in everything
    assert made.json["prefix"] in everything
    stored = web.record.all("select * from api_key") + web.record.all("select * from audit_log")
    assert key not in str(stored)
    mine = {"Authorization": f"Bearer {key}"}
    assert web.client().get("/api/v1/me", headers=mine).json["scopes"] == ["lineage:write", "read"]
    assert web.client().delete(f"/api/v1/api-keys/{id_}", headers=headers).status_code == 204
    assert web.client().get("/api/v1/me", headers=mine).status_code == 401
    producer = web.client().get("/api/v1/producers", headers=headers).json["items"][0]
    assert (producer["name"], producer["environment"]) == ("airflow", "prod")
    assert producer["last_refused_at"] is not None


def test_a_rotated_key_continues_its_producer(web: Web) -> None:
    web.key("lineage:write", name="spark", environment="prod")
    web.key("lineage:write", name="spark")
    rows = web.record.all(
        "select p.name, p.environment from api_key k join producer p on p.id = k.producer_id"
    )
    assert rows == [{"name": "spark", "environment": "prod"}] * 2
    with pytest.raises(Conflict):
        web.key("lineage:write", name="spark", environment="staging")


def test_an_expired_key_is_refused(web: Web) -> None:
    headers = web.key("read", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert web.client().get("/api/v1/me", headers=headers).status_code == 401


def test_scopes_open_only_what_they_name(web: Web) -> None:
    event = {"eventTime": "2026-11-23T20:00:00Z", "job": {"namespace": "n", "name": "j"}}
    sends, reads, writes = web.key("lineage:write"), web.key("read"), web.key("write")
    assert web.client().post("/api/v1/lineage", json=event, headers=sends).status_code == 201
    for headers in (reads, writes):
        assert web.client().post("/api/v1/lineage", json=event, headers=headers).status_code == 403
    assert web.client().get("/api/v1/producers", headers=reads).status_code == 200
    for headers in (sends, writes):
        assert web.client().get("/api/v1/producers", headers=headers).status_code == 403
    producer = web.client().get("/api/v1/producers", headers=reads).json["items"][0]["id"]
    change, where = {"expected_every": 600}, f"/api/v1/producers/{producer}"
    assert web.client().patch(where, json=change, headers=reads).status_code == 403
    assert web.client().patch(where, json=change, headers=writes).json["expected_every"] == 600
    for where in ("/api/v1/users", "/api/v1/api-keys", "/api/v1/audit", "/api/v1/me/sessions"):
        for headers in (sends, reads, writes):
            assert web.client().get(where, headers=headers).status_code == 403, where


def test_how_a_producer_is_watched_is_said_over_rest(web: Web) -> None:
    writes, reads = web.key("write"), web.key("read")
    web.key("lineage:write", name="airflow-prod")
    row = web.record.one("select id from producer where name = 'airflow-prod'")
    assert row is not None
    where = f"/api/v1/producers/{row['id']}"
    made: dict[str, str] = {}
    for kind in ("airflow", "http"):
        with web.record.tx() as conn:
            id_ = conn.execute(
                "insert into connection (id, name, kind) values (gen_random_uuid(), %s, %s) returning id",
                (kind, kind),
            ).fetchone()
        assert id_ is not None
        made[kind] = str(id_["id"])
    refused = web.client().patch(where, json={"connection_id": made["http"]}, headers=writes)
    assert (refused.status_code, refused.json["error"]["field"]) == (422, "connection_id")
    said = {"connection_id": made["airflow"], "retired": True}
    assert web.client().patch(where, json=said, headers=writes).status_code == 200
    shown = web.client().get(where, headers=reads).json
    assert (shown["connection_id"], shown["retired"], shown["quiet"], shown["expected_every"]) == (
        made["airflow"], True, False, None,
    )  # fmt: skip
    assert (
        web.client().patch(where, json={"retired": False}, headers=writes).json["connection_id"]
        == made["airflow"]
    )
    changes = [
        r["after"]
        for r in web.record.all("select after from audit_log where action = 'producer.edit' order by seq")
    ]
    assert changes == [{"connection_id": made["airflow"]}, {"retired": True}, {"retired": False}]


def test_a_key_cannot_drive_the_pages(web: Web) -> None:
    for headers in (web.key("read"), web.key("write")):
        assert web.client().get("/_dash-layout", headers=headers).status_code == 403
        assert web.client().post("/_dash-update-component", json={}, headers=headers).status_code == 403


def test_a_revoked_key_is_forgotten_after_two_seconds(web: Web) -> None:
    from auth.keys import REMEMBERED, Keys
    from errors import Unauthenticated

    now = [100.0]
    known = Keys(web.record, clock=lambda: now[0])
    key = web.key("read")["Authorization"].removeprefix("Bearer ")
    assert known.check(key).name == "a producer"
    row = web.record.one("select id from api_key")
    assert row is not None
    with web.record.tx() as conn:
        keys.revoke(conn, SYSTEM, UUID(str(row["id"])))
    assert known.check(key).name == "a producer"
    now[0] += REMEMBERED
    with pytest.raises(Unauthenticated):
        known.check(key)


def test_calls_are_limited_by_caller_but_not_lineage(settled) -> None:  # type: ignore[no-untyped-def]
    web = Web(settled.with_(api_per_minute=3))
    try:
        reads, sends = web.key("read"), web.key("lineage:write")
        first, *_, fourth = [web.client().get("/api/v1/me", headers=reads) for _ in range(4)]
        assert first.status_code == 200 and "Retry-After" not in first.headers
        assert fourth.status_code == 429
        assert fourth.json["error"]["code"] == "throttled"
        assert fourth.json["error"]["message"] == "more than 3 calls in a minute"
        assert 0 < int(fourth.headers["Retry-After"]) <= 61
        event = {"job": {"namespace": "n", "name": "j"}}
        posted = [
            web.client().post("/api/v1/lineage", json=event, headers=sends).status_code for _ in range(9)
        ]
        assert posted == [201] * 9
    finally:
        web.close()


def test_the_api_answers_while_redis_is_away(settled) -> None:  # type: ignore[no-untyped-def]
    web = Web(settled.with_(redis_url="redis://127.0.0.1:1/0"))
    try:
        assert web.client().get("/api/v1/me", headers=web.key("read")).status_code == 200
        event = {"job": {"namespace": "n", "name": "j"}}
        sent = web.client().post("/api/v1/lineage", json=event, headers=web.key("lineage:write"))
        assert sent.status_code == 201
        parts = web.client().get("/readyz").json["parts"]
        assert (parts["queue"]["ok"], parts["record"]["ok"]) == (False, True)
    finally:
        web.close()
