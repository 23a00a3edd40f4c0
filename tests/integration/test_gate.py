"""Every route and every callback, tried as nobody, as a viewer, as a responder and with keys."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import dash
import pytest
from flask.testing import FlaskClient

from auth.gate import OPEN, OPEN_BY_TOKEN, WHILE_MUST_CHANGE, is_open
from tests.web import Web

#: the exact list of what needs no sign-in; a change of it is a decision
OPEN_ROUTES = {
    "/sign-in",
    "/assets/sign-in.css",
    "/_favicon.ico",
    "/healthz",
    "/readyz",
    "/api/v1/auth/login",
    "/api/v1/auth/refresh",
}
#: the exact list of what a token in the path opens; the view itself looks at the token
OPEN_BY_TOKEN_ROUTES = {
    "/api/v1/heartbeats/<token>",
    "/api/v1/heartbeats/<token>/start",
    "/api/v1/heartbeats/<token>/fail",
    "/api/v1/badges/<token>.svg",
}
#: what a viewer may write: only about themselves
VIEWER_WRITES = {
    "POST /password",
    "POST /sign-in",
    "POST /sign-out",
    "POST /_dash-update-component",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/refresh",
    "DELETE /api/v1/me/sessions/<id>",
    "POST /api/v1/me/password",
}
#: what a responder may write besides: people's words on nodes and edges
RESPONDER_WRITES = VIEWER_WRITES | {
    "POST /api/v1/badges",
    "POST /api/v1/nodes/<id>/annotations",
    "PATCH /api/v1/annotations/<id>",
    "DELETE /api/v1/annotations/<id>",
    "POST /api/v1/edges/<id>/annotations",
    "POST /api/v1/checks/<id>/run",
    "POST /api/v1/checks/<id>/mute",
    "POST /api/v1/incidents/<id>/acknowledge",
    "POST /api/v1/incidents/<id>/unacknowledge",
    "POST /api/v1/incidents/<id>/assign",
    "POST /api/v1/incidents/<id>/comments",
    "POST /api/v1/incidents/<id>/resolve",
    "POST /api/v1/incidents/<id>/silence",
    "POST /api/v1/silences",
    "PATCH /api/v1/silences/<id>",
    "DELETE /api/v1/silences/<id>",
}
#: what only admins may even read
ADMIN_READS = {
    "GET /api/v1/api-keys",
    "GET /api/v1/api-keys/<id>",
    "GET /api/v1/audit",
    "GET /api/v1/audit/verify",
    "GET /api/v1/connections",
    "GET /api/v1/connections/<id>",
    "GET /api/v1/channels",
    "GET /api/v1/channels/<id>",
    "GET /api/v1/users",
    "GET /api/v1/users/<id>",
    "GET /api/v1/users/<id>/sessions",
}
_SAMPLE = "00000000-0000-4000-8000-000000000001"


def routes(web: Web) -> list[tuple[str, str, str]]:
    """(method, rule, a path that it matches) of everything the server answers."""
    found = []
    for rule in web.server.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", _SAMPLE, rule.rule)
        found += [(m, rule.rule, path) for m in sorted(rule.methods or ()) if m not in ("HEAD", "OPTIONS")]
    assert len(found) > 30
    return found


def api_routes(web: Web) -> list[tuple[str, str, str]]:
    return [
        r
        for r in routes(web)
        if r[1].startswith("/api/") and "<path:" not in r[1] and r[1] not in ("/api", "/api/")
    ]


def test_the_list_of_open_routes_is_exact() -> None:
    assert set(OPEN) == OPEN_ROUTES
    assert len(OPEN) == len(set(OPEN))
    assert set(OPEN_BY_TOKEN) == OPEN_BY_TOKEN_ROUTES


def test_what_a_token_opens_is_open_for_no_other_path(web: Web) -> None:
    token = "A1_-" * 10 + "abc"
    for rule in OPEN_BY_TOKEN_ROUTES:
        path = rule.replace("<token>", token)
        assert is_open(path)
        answer = web.client().get(path)
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "not_found")
        for near in (
            path[:-1],
            f"{path}x",
            f"{path}/",
            f"/{path}",
            f"{path}\n",
            path.replace(token, f"{token}x"),
            path.replace(token, token[:-1]),
            path.replace(token, f"{token[:-1]}%"),
            path.replace(token, f"{token[:20]}/{token[21:]}"),
            path.upper(),
        ):
            assert not is_open(near), near


def test_an_address_that_tries_many_tokens_is_slowed_down(web: Web) -> None:
    from auth import gate

    tries = [web.client().get(f"/api/v1/heartbeats/{n:043d}") for n in range(gate.WRONG_A_MINUTE * 2 + 1)]
    assert {t.status_code for t in tries} == {404, 429}
    assert tries[-1].status_code == 429
    assert int(tries[-1].headers["Retry-After"]) > 0


def test_nobody_gets_past_any_other_route(web: Web) -> None:
    for method, rule, path in routes(web):
        for headers in ({}, {"Accept": "text/html"}, {"Authorization": "Bearer dlv_unknown"}):
            answer = web.client().open(path, method=method, headers=headers)
            if path in OPEN_ROUTES:
                assert answer.status_code not in (302, 403, 404), (method, rule)
                continue
            page = "Accept" in headers and method == "GET" and answer.status_code == 302
            assert page or answer.status_code == 401, (method, rule, headers, answer.status_code)
            if page:
                assert answer.headers["Location"].startswith("/sign-in")
            elif answer.mimetype == "text/html" and "Accept" in headers:
                assert "Back to DLV" in answer.text
            else:
                assert set((answer.json or {}).get("error", ())) >= {"code", "message", "request_id"}, (
                    method,
                    rule,
                    answer.text,
                )


@pytest.mark.parametrize("path", sorted(OPEN_ROUTES))
def test_near_misses_of_open_routes_are_shut(web: Web, path: str) -> None:
    head, _, last = path.rpartition("/")
    for near in (
        f"{path}/",
        f"{path}/x",
        f"{path}x",
        f"/{path}",
        f"{path}%00",
        f"{path};x",
        f"{head}/x/../{last}",
        f"{head}/./{last}",
        path.upper(),
        f"{path}/../../_dash-layout",
        f"/_dash-layout#{path}",
    ):
        answer = web.client().get(near)
        assert answer.status_code in (401, 308), (near, answer.status_code)
        if answer.status_code == 308:  # werkzeug tidies the address; what it leads to is tried in its turn
            assert answer.headers["Location"] in OPEN_ROUTES or answer.headers["Location"].endswith(path)


def test_a_forged_pathname_opens_nothing(web: Web) -> None:
    for claimed in OPEN_ROUTES:
        body = {
            "output": ".._pages_content.children..._pages_store.data..",
            "outputs": [
                {"id": "_pages_content", "property": "children"},
                {"id": "_pages_store", "property": "data"},
            ],
            "inputs": [
                {"id": "_pages_location", "property": "pathname", "value": claimed},
                {"id": "_pages_location", "property": "search", "value": ""},
            ],
            "changedPropIds": ["_pages_location.pathname"],
        }
        assert web.client().post("/_dash-update-component", json=body).status_code == 401
        assert web.client().post(f"/_dash-update-component?path={claimed}", json=body).status_code == 401


def test_a_viewer_writes_nothing(web: Web) -> None:
    headers = web.bearer("viewer")
    refused = 0
    for method, rule, path in routes(web):
        if rule in OPEN_BY_TOKEN_ROUTES:  # whoever asks, it is the token that counts
            continue
        if method in ("POST", "PUT", "PATCH", "DELETE") and f"{method} {rule}" not in VIEWER_WRITES:
            answer = web.client().open(path, method=method, headers=headers)
            nothing = "<path:" in rule or rule in ("/api", "/api/")
            assert answer.status_code in ((404, 405) if nothing else (403,)), (
                method,
                rule,
                answer.status_code,
            )
            refused += answer.status_code == 403
    assert refused > 8


def test_a_responder_writes_only_what_responders_do(web: Web) -> None:
    headers = web.bearer("responder")
    for method, rule, path in api_routes(web):
        if rule in OPEN_BY_TOKEN_ROUTES:
            continue
        if method == "GET" or rule == "/api/v1/auth/logout":  # which would end the session of this test
            continue
        answer = web.client().open(path, method=method, headers=headers)
        allowed = f"{method} {rule}" in RESPONDER_WRITES
        assert (answer.status_code == 403) != allowed, (method, rule, answer.status_code)


def test_admin_reads_are_exact(web: Web) -> None:
    for role in ("viewer", "responder"):
        headers = web.bearer(role)
        for method, rule, path in api_routes(web):
            if method == "GET":
                answer = web.client().get(path, headers=headers)
                refused = answer.status_code == 403
                assert refused == (f"GET {rule}" in ADMIN_READS), (role, rule, answer.status_code)


def test_a_reading_key_writes_nothing_and_a_writing_key_never_touches_access(web: Web) -> None:
    reads, writes, sends = web.key("read"), web.key("write"), web.key("lineage:write")
    for method, rule, path in api_routes(web):
        if rule.startswith("/api/v1/auth/lo") or rule in OPEN_ROUTES | OPEN_BY_TOKEN_ROUTES:
            continue
        if method != "GET":
            assert web.client().open(path, method=method, headers=reads).status_code == 403, (method, rule)
            if not rule.startswith("/api/v1/lineage"):
                assert web.client().open(path, method=method, headers=sends).status_code == 403, (
                    method,
                    rule,
                )
        if rule.startswith(("/api/v1/users", "/api/v1/api-keys", "/api/v1/audit", "/api/v1/me/")):
            assert web.client().open(path, method=method, headers=writes).status_code == 403, (method, rule)


def test_every_endpoint_says_who_may_call_it(web: Web) -> None:
    for rule in web.server.url_map.iter_rules():
        if rule.endpoint.startswith("api.") and rule.endpoint not in ("api.openapi", "api.docs"):
            endpoint = web.server.view_functions[rule.endpoint].dlv_endpoint  # type: ignore[attr-defined]
            assert endpoint.need is not None or rule.rule in OPEN_ROUTES | OPEN_BY_TOKEN_ROUTES, rule.rule


# ---------------------------------------------------------------- callbacks


def callbacks(web: Web) -> list[tuple[str, dict[str, Any], Callable[..., Any]]]:
    """(output, declaration, function) of every callback that runs on the server."""
    web.page("viewer")[0].get("/_dash-dependencies")
    found = [(o, c, c["callback"]) for o, c in web.dash.callback_map.items() if "callback" in c]
    assert found
    return found


def request_for(output: str, declared: dict[str, Any]) -> dict[str, Any]:
    def value(dependency: dict[str, Any]) -> Any:
        found = {"id": _id(dependency["id"]), "property": dependency["property"], "value": None}
        return [found] if isinstance(found["id"], dict) and "ALL" in str(dependency["id"]) else found

    inputs = [value(i) for i in declared["inputs"]]
    first = declared["inputs"][0] if declared["inputs"] else None
    outputs = declared["output"]
    many = outputs if isinstance(outputs, list | tuple) else [outputs]
    told = [{"id": _id(o.component_id), "property": o.component_property} for o in many]
    return {
        "output": output,
        "outputs": told if isinstance(outputs, list | tuple) else told[0],
        "inputs": inputs,
        "state": [value(s) for s in declared.get("state", [])],
        "changedPropIds": [f"{first['id']}.{first['property']}"] if first else [],
    }


def _id(said: Any) -> Any:
    import json

    if isinstance(said, str) and said.startswith("{"):
        said = json.loads(said)
    if isinstance(said, dict):
        return {
            k: "x" if isinstance(v, list | dict) or not isinstance(v, str | int) else v
            for k, v in said.items()
        }
    return said


def post(client: FlaskClient, body: dict[str, Any], headers: dict[str, str]) -> int:
    return client.post("/_dash-update-component", json=body, headers=headers).status_code


def test_every_callback_is_shut_to_nobody_and_to_requests_without_csrf(web: Web) -> None:
    viewer, _ = web.page("viewer")
    for output, declared, _ in callbacks(web):
        body = request_for(output, declared)
        assert post(web.client(), body, {}) == 401, output
        assert post(viewer, body, {}) == 403, output


def needed(function: Callable[..., Any]) -> str | None:
    need = getattr(function, "dlv_need", None)
    return need.role if need else None


def test_callbacks_that_write_refuse_who_may_not(web: Web) -> None:
    people = {role: web.page(role) for role in ("viewer", "responder")}
    rank = {"viewer": 1, "responder": 2, "admin": 3}
    for output, declared, function in callbacks(web):
        role = needed(function)
        if role is None:
            continue
        body = request_for(output, declared)
        for who, (client, csrf) in people.items():
            if rank[who] < rank[role]:
                assert post(client, body, csrf) == 403, (output, who)


def test_whoever_says_who_acts_has_checked_who_may(web: Web) -> None:
    """Everything that writes for a person names the actor; so a callback that reaches `actor` must be guarded."""
    for output, _, function in callbacks(web):
        if needed(function) is None:
            assert not set(names_used(function)) & {"actor", "SYSTEM"}, f"{output} writes and is not guarded"


def names_used(function: Callable[..., Any]) -> Iterator[str]:
    """Names that a function, and the functions of its own module that it calls, look up."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    seen: set[str] = set()
    todo: list[types.CodeType] = [function.__code__]
    space = function.__globals__
    while todo:
        code = todo.pop()
        todo += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        for name in code.co_names:
            yield name
            other = space.get(name)
            own = isinstance(other, types.FunctionType) and other.__module__ == function.__module__
            if own and name not in seen:
                seen.add(name)
                todo.append(other.__code__)


def test_callbacks_that_are_not_guarded_change_nothing(web: Web) -> None:
    client, csrf = web.page("viewer")
    found = callbacks(web)
    before = everything(web)
    for output, declared, function in found:
        if needed(function) is None:
            post(client, request_for(output, declared), csrf)
    assert everything(web) == before


def everything(web: Web) -> dict[str, str]:
    """A fingerprint of each table."""
    tables = web.record.all(
        """select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where c.relkind in ('r', 'p') and n.nspname = 'public' and c.relname <> 'user_session'"""
    )
    found = {}
    for t in tables:
        row = web.record.one(
            f"select md5(coalesce(string_agg(r::text, '|' order by r::text), '')) as h from \"{t['name']}\" r"
        )
        assert row is not None
        found[t["name"]] = row["h"]
    return found


def test_a_guarded_callback_answers_403_in_the_error_shape(settled) -> None:  # type: ignore[no-untyped-def]
    import auth

    web = Web(settled)
    done: list[str] = []
    try:

        @web.dash.callback(
            dash.Output("t-out", "children"), dash.Input("t-in", "n_clicks"), prevent_initial_call=True
        )
        @auth.requires("admin")
        def save(n: int) -> str:
            done.append(auth.actor().name)
            return "saved"

        body = {
            "output": "t-out.children",
            "outputs": {"id": "t-out", "property": "children"},
            "inputs": [{"id": "t-in", "property": "n_clicks", "value": 1}],
            "changedPropIds": ["t-in.n_clicks"],
        }
        for role in ("viewer", "responder"):
            client, csrf = web.page(role)
            answer = client.post("/_dash-update-component", json=body, headers=csrf)
            assert answer.status_code == 403
            assert answer.json["error"]["code"] == "forbidden"
        client, csrf = web.page("admin")
        assert client.post("/_dash-update-component", json=body, headers=csrf).status_code == 200
        assert done == ["the-admin"]
    finally:
        web.close()


def test_while_a_password_must_change_nothing_else_opens(web: Web) -> None:
    headers = web.bearer("admin")
    with web.record.tx() as conn:
        conn.execute("update app_user set must_change = true")
    for method, rule, path in routes(web):
        if path in OPEN_ROUTES or rule in WHILE_MUST_CHANGE:
            continue
        assert web.client().open(path, method=method, headers=headers).status_code == 403, (method, rule)


def test_security_headers_stand_on_every_answer(web: Web) -> None:
    client, _ = web.page("viewer")
    for path in ("/", "/sign-in", "/api/v1/me", "/api/docs", "/api/v1/nothing", "/healthz", "/_dash-layout"):
        answer = client.get(path, headers={"Accept": "text/html"})
        policy = answer.headers["Content-Security-Policy"]
        scripts = next(d for d in policy.split("; ") if d.startswith("script-src"))
        assert "unsafe" not in scripts, path
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", answer.headers["X-Request-ID"])


def test_every_inline_script_of_the_page_is_in_the_policy(web: Web) -> None:
    import base64
    import hashlib

    client, _ = web.page("viewer")
    answer = client.get("/", headers={"Accept": "text/html"})
    inline = re.findall(r"<script(?![^>]*(?:src=|application/json))[^>]*>(.*?)</script>", answer.text, re.S)
    assert inline
    for script in inline:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in answer.headers["Content-Security-Policy"]
    assert '<html lang="en">' in answer.text


def test_what_does_not_exist_under_api_is_404_and_405_names_the_methods(web: Web) -> None:
    headers = web.key("read")
    for path in ("/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/v2/nodes", "/api/v1/users/x/y/z"):
        for method in ("GET", "POST", "DELETE"):
            answer = web.client().open(path, method=method, headers=headers, follow_redirects=True)
            assert answer.status_code == 404, (path, method)
            assert answer.json["error"]["code"] == "not_found"
    answer = web.client().delete("/api/v1/users", headers=headers)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")


def test_what_goes_wrong_inside_says_a_request_id_and_nothing_else(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    @web.server.get("/api/v1/broken")
    def broken() -> str:
        raise RuntimeError("a secret detail")

    answer = web.client().get("/api/v1/broken", headers=web.key("read") | {"X-Request-ID": "my-request-1"})
    assert answer.status_code == 500
    assert answer.json["error"]["request_id"] == "my-request-1"
    assert "secret" not in answer.text
    assert "my-request-1" in caplog.text
    assert "a secret detail" in caplog.text


def test_with_the_record_away_pages_and_api_say_so(settled) -> None:  # type: ignore[no-untyped-def]
    web = Web(settled.with_(database_url="postgresql://dlv@127.0.0.1:1/none"))
    try:
        web.record._pool.timeout = 0.2
        answer = web.client().get("/api/v1/me", headers={"Authorization": "Bearer dlv_x"})
        assert (answer.status_code, answer.json["error"]["code"]) == (503, "record_away")
        assert int(answer.headers["Retry-After"]) > 0
        assert web.client().get("/healthz").status_code == 200
        ready = web.client().get("/readyz")
        assert ready.status_code == 503
        assert ready.json["parts"]["record"]["ok"] is False
        page = web.client().post("/sign-in", data={"username": "a", "password": "b"})
        assert page.status_code == 503
        assert "does not answer" in page.text
    finally:
        web.close()
