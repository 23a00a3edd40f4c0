"""The two engines the graph runs on: ArcadeDB always, a real Neo4j where it can be had (see neo4j_server)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow_server import airflow_running  # noqa: F401 - the fixture airflow
from canonical import told_otherwise
from kafka_server import connect_running, kafka_running  # noqa: F401 - the fixtures connect and kafka
from neo4j_server import LTS, NEWEST, Absent, Release, Server, newest_left_out
from spark_server import spark_running  # noqa: F401 - the fixture spark

from graph.driver import Graph, connect

ENGINES = ["arcadedb", pytest.param("neo4j-5", marks=pytest.mark.neo4j)]
if not newest_left_out():  # else the header of the test run says why
    ENGINES.append(pytest.param("neo4j-2026", marks=pytest.mark.neo4j))


@pytest.fixture(scope="session")
def neo4j_lts() -> Iterator[Graph]:
    yield from _running(LTS)


@pytest.fixture(scope="session")
def neo4j_newest() -> Iterator[Graph]:
    yield from _running(NEWEST)


def _running(release: Release) -> Iterator[Graph]:
    server = Server(release)
    try:
        try:
            server.start()
        except Absent as e:
            pytest.skip(f"Neo4j {release.version}: {e}")
        g = connect(server.url, server.user, server.password)
        yield g
        g.close()
    finally:
        server.stop()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Any:
    """An empty graph on each engine in turn."""
    if request.param == "arcadedb":
        return request.getfixturevalue("graph")
    g = request.getfixturevalue("neo4j_lts" if request.param == "neo4j-5" else "neo4j_newest")
    while g.write("MATCH (n) WITH n LIMIT 5000 DETACH DELETE n RETURN count(*) AS n")[0]["n"]:
        pass
    return g


@pytest.fixture
def nodes_tell_what_their_aliases_say(record: Any) -> Iterator[None]:
    """After the test no node's row may tell of its aliases what they do not say."""
    yield
    assert told_otherwise(record) == []
