"""What somebody sees who types `make run`, and the commands beside it: the demo on the map, signing in with the printed
password, and every `dlv` command that works on a running DLV. The steps build on one another."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import neo4j
import psycopg
import pytest
import requests

from embedded import child
from ingest.demo_estate import BROKEN
from settings import Settings
from tests.conftest import eventually
from tests.integration import processes
from tests.integration.processes import ROOT, Dlv

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("make-run")]

PASSWORD = "a quiet long walk"


class Made(Dlv):
    """`make run` in the environment that runs the tests, which is not filled again: nothing may install into it here."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, child.free_port()
        self.out = home.parent / "said"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("DLV_", "PYTEST_", "MAKE", "MFLAGS"))}
        env |= {"DLV_HOME": str(home), "DLV_PORT": str(self.port), "DLV_DEMO": "1", "PYTHONUNBUFFERED": "1"}
        self.environment = env
        venv = sys.prefix
        there = ["-o", f"{venv}/.runs", "-o", f"{venv}/bin/dlv", f"VENV={venv}"]
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                ["make", *there, "run"], cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def interrupt(self) -> None:
        """Ctrl-C: the terminal tells all of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def beside(self, *command: str) -> tuple[int, str]:
        """`dlv COMMAND` on the same folder, to its end: exit code and what it said."""
        other = Dlv(processes.ourselves(), self.home, *command)
        try:
            return other.ended(120), other.said()
        finally:
            other.stop()


class Person:
    """Somebody signed in over REST."""

    def __init__(self, dlv: Dlv, password: str) -> None:
        self.base = f"http://127.0.0.1:{dlv.port}"
        said = {"username": "admin", "password": password}
        answer = requests.post(f"{self.base}/api/v1/auth/login", json=said, timeout=30)
        assert answer.status_code == 200, answer.text
        self.must_change: bool = answer.json()["must_change"]
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def ask(self, method: str, path: str, **how: Any) -> requests.Response:
        return requests.request(method, f"{self.base}/api/v1{path}", headers=self.headers, timeout=60, **how)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with processes.place() as folder:
        made = Made(folder / "home")
        try:
            made.wait_for("Ctrl-C stops it", timeout=180)
            yield made
        finally:
            if made.process.poll() is None:
                made.interrupt()
                made.process.wait(60)


@pytest.fixture(scope="module")
def admin(made: Made) -> Person:
    """Signed in with the printed password, which had to be changed first."""
    printed = re.search(r"password    (\S+)", made.said())
    assert printed
    first = Person(made, printed[1])
    assert first.must_change
    change = {"current_password": printed[1], "new_password": PASSWORD}
    assert first.ask("POST", "/me/password", json=change).status_code == 204
    again = Person(made, PASSWORD)
    assert not again.must_change
    return again


def test_it_prints_the_address_and_the_password_and_the_page_takes_it(made: Made) -> None:
    said = made.said()
    assert f"DLV is at   http://127.0.0.1:{made.port}/" in said and "sign in as  admin" in said
    assert "seeded the demo estate" in said and "Traceback" not in said
    printed = re.search(r"password    (\S+)", said)
    assert printed
    base = f"http://127.0.0.1:{made.port}"
    bare = requests.get(f"{base}/", headers={"Accept": "text/html"}, allow_redirects=False, timeout=30)
    assert bare.status_code in (302, 303) and "/sign-in" in bare.headers["Location"]
    form = {"username": "admin", "password": printed[1]}
    signed = requests.post(f"{base}/sign-in", data=form, allow_redirects=False, timeout=30)
    assert signed.status_code == 303 and signed.cookies
    wrong = requests.post(
        f"{base}/sign-in", data=form | {"password": "not it"}, allow_redirects=False, timeout=30
    )
    assert wrong.status_code != 303


def test_the_demo_is_on_the_map_with_one_job_upstream_that_fails(admin: Person) -> None:
    counts = admin.get("/status")
    assert 50 <= counts["total"] <= 90
    assert counts["parts"]["graph"]["ok"] and counts["parts"]["ingest"]["ok"]
    assert counts["roots"] == 1
    (root,) = (n for n in admin.get("/nodes", health="root")["items"] if BROKEN in n["name"])
    assert (root["type"], root["health"]) == ("job", "failed")
    below = admin.get(f"/nodes/{root['id']}/impact")
    assert below["total"] > 3
    systems = {s["key"] for s in admin.get("/nodes/options")["system"]}
    assert {"airflow", "spark", "kafka", "dbt", "postgres"} <= systems
    assert {n["kind"] for n in admin.get("/nodes", kind="dashboard")["items"]} == {"dashboard"}


def test_seed_leaves_a_record_that_is_not_empty_alone(made: Made, admin: Person) -> None:
    before = admin.get("/status")["total"]
    assert made.beside("seed") == (0, "the record is not empty; nothing was seeded\n")
    assert admin.get("/status")["total"] == before


def test_refold_reads_stored_events_by_the_rule_that_changed(made: Made, admin: Person) -> None:
    key = admin.ask("POST", "/api-keys", json={"name": "scratch", "scopes": ["lineage:write"]}).json()["key"]
    event = {
        "eventType": "COMPLETE", "eventTime": datetime.now(UTC).isoformat(), "run": {"runId": str(uuid.uuid4())},
        "job": {"namespace": "etl", "name": "try"}, "producer": "https://example.com",
        "outputs": [{"namespace": "postgres://db:5432", "name": "shop.scratch_17.orders"}],
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }  # fmt: skip
    sent = requests.post(
        f"{admin.base}/api/v1/lineage", data=json.dumps(event), headers={"Authorization": f"Bearer {key}"},
        timeout=30,
    )  # fmt: skip
    assert sent.status_code == 201
    eventually(lambda: admin.get("/nodes", name="shop.scratch_17.orders")["items"])
    rule = {"kind": "ignore", "pattern": r".*/shop\.scratch_\d+\..*"}
    assert admin.ask("POST", "/naming-rules", json=rule).status_code == 201
    total = admin.get("/status")["total"]
    code, said = made.beside("refold")
    assert code == 0 and "1 removed" in said and "events queued" in said and "folding" in said, said
    assert admin.get("/nodes", name="shop.scratch_17.orders")["items"] == []
    eventually(lambda: admin.get("/status")["total"] == total - 1)


def test_graph_rebuild_restores_a_graph_that_was_emptied(made: Made, admin: Person) -> None:
    (root,) = (n for n in admin.get("/nodes", health="root")["items"] if BROKEN in n["name"])
    path = f"/nodes/{root['id']}/impact"
    before = {(i["id"], i["hop"]) for i in admin.get(path)["items"]}
    known = made.known()
    with psycopg.connect(known.database_url) as conn:
        generation = conn.execute("select generation from graph_state").fetchone()
    auth = (known.graph_user, known.graph_password)
    with neo4j.GraphDatabase.driver(known.graph_url, auth=auth) as driver:
        driver.execute_query("MATCH ()-[r]->() DELETE r", database_=known.graph_database)
    # asked as nobody asked before: what is kept holds until DLV itself changes the graph
    assert admin.get(path, limit=77)["total"] == 0
    code, said = made.beside("graph", "rebuild")
    assert code == 0 and "rebuilding" in said and "Traceback" not in said, said
    assert {(i["id"], i["hop"]) for i in admin.get(path)["items"]} == before
    with psycopg.connect(known.database_url) as conn:
        assert conn.execute("select generation from graph_state").fetchone() != generation


def test_admin_reset_gives_a_new_password_and_ends_sessions(made: Made, admin: Person) -> None:
    code, said = made.beside("admin", "reset", "admin")
    printed = re.fullmatch(r"admin, one-time password: (\S+)\n", said)
    assert code == 0 and printed, said
    assert admin.ask("GET", "/me").status_code == 401
    old = {"username": "admin", "password": PASSWORD}
    assert requests.post(f"{admin.base}/api/v1/auth/login", json=old, timeout=30).status_code == 401
    assert Person(made, printed[1]).must_change


def test_audit_verify_names_the_first_row_that_was_changed(made: Made, admin: Person) -> None:
    assert made.beside("audit", "verify") == (0, "the audit log is whole\n")
    with psycopg.connect(made.known().database_url) as conn:
        row = conn.execute(
            "select seq, actor_name from audit_log order by seq desc offset 2 limit 1"
        ).fetchone()
        assert row
        _behind_its_back(conn, row[0], "somebody else")
    code, said = made.beside("audit", "verify")
    assert (code, said) == (
        1, f"the audit log was changed: row {row[0]} does not follow from the one before it\n",
    )  # fmt: skip
    with psycopg.connect(made.known().database_url) as conn:
        _behind_its_back(conn, row[0], row[1])
    assert made.beside("audit", "verify")[0] == 0


def _behind_its_back(conn: psycopg.Connection[Any], seq: int, name: str) -> None:
    """As somebody with the database's own password may: the triggers that forbid it are off."""
    conn.execute("set session_replication_role = replica")
    conn.execute("update audit_log set actor_name = %s where seq = %s", (name, seq))


def test_ctrl_c_ends_it_and_leaves_nothing_behind(made: Made) -> None:
    family = made.family()
    made.interrupt()
    made.process.wait(60)
    assert "stopped" in made.said() and "Traceback" not in made.said()
    assert processes.gone(family, timeout=10) == []


def test_seed_fills_an_empty_record(settled: Settings) -> None:
    with processes.place() as folder:
        given = {"DLV_DATABASE_URL": settled.database_url, "DLV_REDIS_URL": settled.redis_url}
        seeding = Dlv(processes.ourselves(), folder / "home", "seed", **given)
        assert (seeding.ended(120), seeding.said()) == (0, "seeded the demo estate\n")
        again = Dlv(processes.ourselves(), folder / "home", "seed", **given)
        assert (again.ended(120), again.said()) == (0, "the record is not empty; nothing was seeded\n")
    with psycopg.connect(settled.database_url) as conn:
        assert conn.execute("select count(*) > 100 from event").fetchone() == (True,)
