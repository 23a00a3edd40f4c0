"""The graph over Bolt: one class in front of the official driver, the same for Neo4j and ArcadeDB."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import neo4j
from neo4j.exceptions import (
    AuthError,
    ClientError,
    DatabaseError,
    DriverError,
    Neo4jError,
    TransientError,
)

from errors import GraphAway

Dialect = Literal["neo4j", "arcadedb"]
Row = dict[str, Any]
T = TypeVar("T")

#: seconds; the driver tries twice, so that a page waits less than three for a graph that accepts and says nothing
CONNECT_SECONDS, ACQUIRE_SECONDS, RETRY_SECONDS = 1.0, 1.4, 1.0
#: seconds the server may work on one question
QUERY_SECONDS = 20.0
#: seconds without a byte after which a connection is given up: more than any server works on one statement of ours
ANSWER_SECONDS = 35.0
#: seconds after a failure to connect in which no other attempt is made, so that many questions wait only once
REST_SECONDS = 0.5

logging.getLogger("neo4j.notifications").setLevel(logging.ERROR)


class Graph:
    """Connects when first asked, and anew in every process that was forked off (a connection must not be shared).

    Every failure to reach the graph, or to get an answer in time, is :class:`errors.GraphAway`.
    """

    def __init__(self, url: str, user: str = "", password: str = "", database: str = "") -> None:
        self.url = url
        self.database = database or None
        self._auth = (user, password) if user or password else None
        self._pid = 0
        self._lock = threading.Lock()
        self._driver: neo4j.Driver | None = None
        self._of_parents: list[neo4j.Driver] = []  # never closed here: their sockets belong to the parent
        self._dialect: Dialect | None = None
        self._rest_until = 0.0
        self._rest_why = ""
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        self._lock = threading.Lock()

    @property
    def dialect(self) -> Dialect:
        """Which of the two forms the server understands where engines differ."""
        if self._dialect is None:

            def ask(session: neo4j.Session) -> Dialect:
                agent = str(session.run("RETURN 1").consume().server.agent)
                return "arcadedb" if "arcade" in agent.lower() else _by_functions(session)

            found: Dialect = self._guarded(ask)
            self._dialect = found
            return found
        return self._dialect

    def read(self, query: str, **params: Any) -> list[Row]:
        """All rows of a question. Ask for ``collect(...)``: one big row is several times faster than many."""

        # a statement by itself saves the trips that begin and end a transaction, and what they cost the server
        asked = neo4j.Query(query, timeout=QUERY_SECONDS)  # type: ignore[arg-type]

        def ask(session: neo4j.Session) -> list[Row]:
            # not Result.data(): it looks into every value for nodes and paths, which no question of ours returns
            return [
                dict(zip(record.keys(), tuple(record), strict=True)) for record in session.run(asked, params)
            ]

        return self._guarded(ask, again=True)

    def write(self, query: str, **params: Any) -> list[Row]:
        """One statement in a transaction of its own, tried again where another one was in the way."""
        return self.transact(lambda tx: tx.run(query, params).data())

    def transact(self, work: Callable[[neo4j.ManagedTransaction], T]) -> T:
        """Several statements in one transaction; ``work`` may be called again, so it must do nothing else."""
        return self._guarded(lambda session: session.execute_write(work))

    def plan(self, query: str, **params: Any) -> dict[str, Any]:
        """The plan the server would take (EXPLAIN); empty where it does not say."""

        def ask(session: neo4j.Session) -> dict[str, Any]:
            return session.run(f"EXPLAIN {query}", params).consume().plan or {}

        return self._guarded(ask)

    def schema(self, statement: str) -> None:
        """A statement that changes the schema; it takes no parameters and no other statement beside it."""
        self._guarded(lambda session: session.run(statement).consume())

    def check(self) -> str | None:
        """None where the graph answers, else what is wrong."""
        try:
            self._guarded(lambda session: session.run("RETURN 1").consume(), rest=False)
        except GraphAway as e:
            return e.message
        return None

    def close(self) -> None:
        with self._lock:
            if self._driver is not None and self._pid == os.getpid():
                self._driver.close()
            self._driver = None

    def _connected(self) -> neo4j.Driver:
        with self._lock:
            if self._driver is not None and self._pid != os.getpid():
                self._of_parents.append(self._driver)
                self._driver = None
            if self._driver is None:
                self._pid = os.getpid()
                self._driver = neo4j.GraphDatabase.driver(
                    self.url,
                    auth=self._auth,
                    user_agent="dlv",
                    connection_timeout=CONNECT_SECONDS,
                    connection_acquisition_timeout=ACQUIRE_SECONDS,
                    max_transaction_retry_time=RETRY_SECONDS,
                    initial_retry_delay=0.05,
                    liveness_check_timeout=2.0,
                    max_connection_pool_size=32,
                    max_connection_lifetime=1800,
                    telemetry_disabled=True,
                )
                _bounded(self._driver)
            return self._driver

    def _ask(self, ask: Callable[[neo4j.Session], T], again: bool) -> T:
        """``again``: it reads, and is asked anew while its failure may pass, as the driver does with transactions."""
        mode = neo4j.READ_ACCESS if again else neo4j.WRITE_ACCESS
        until, delay = None, 0.05
        while True:
            try:
                with self._connected().session(
                    database=self.database, fetch_size=-1, default_access_mode=mode
                ) as session:
                    return ask(session)
            except (DriverError, Neo4jError) as e:
                now = time.monotonic()
                until = until or now + RETRY_SECONDS
                if not again or not e.is_retryable() or now > until:
                    raise
            time.sleep(delay)
            delay *= 2

    def _guarded(self, ask: Callable[[neo4j.Session], T], *, rest: bool = True, again: bool = False) -> T:
        if rest and time.monotonic() < self._rest_until:
            raise _away(self._rest_why)
        try:
            answer = self._ask(ask, again)
        except AuthError as e:
            raise self._resting(f"it refuses our user or password ({e.code})") from e
        except (DriverError, TransientError, DatabaseError, OSError) as e:
            raise self._resting(_first_line(e)) from e
        except ClientError as e:
            if _means_away(e):
                raise self._resting(_first_line(e)) from e
            raise  # a fault in our own text: never hidden
        except Neo4jError as e:
            raise self._resting(_first_line(e)) from e
        self._rest_until = 0.0
        return answer

    def _resting(self, why: str) -> GraphAway:
        self._rest_until, self._rest_why = time.monotonic() + REST_SECONDS, why
        return _away(why)


def connect(url: str, user: str = "", password: str = "", database: str = "") -> Graph:
    """A :class:`Graph`; nothing is sent before the first question."""
    return Graph(url, user, password, database)


def _bounded(driver: neo4j.Driver) -> None:
    """Bound the wait for an answer on connections that stand: a server that stops in the midst would else hold whoever
    asked for ever. Neo4j tells its drivers a bound, ArcadeDB none, and the driver has no setting for it.
    """
    pool: Any = driver._pool
    opened = pool.opener

    def opener(*args: Any, **how: Any) -> Any:
        connection = opened(*args, **how)
        connection.socket.set_read_timeout(ANSWER_SECONDS)
        return connection

    pool.opener = opener


def _away(why: str) -> GraphAway:
    return GraphAway(f"the graph does not answer: {why}", hint="see /readyz")


def _first_line(e: Exception) -> str:
    return str(getattr(e, "message", None) or e).strip().splitlines()[0][:200] or type(e).__name__


def _means_away(e: ClientError) -> bool:
    """Client errors that say nothing about our text: the database is starting or stopped, the question timed out."""
    code = str(e.code or "")
    return (
        any(
            word in code
            for word in (
                "DatabaseNotFound",
                "TransactionTimedOut",
                "Terminated",
                "DatabaseUnavailable",
                "General",
            )
        )
        or "timeout" in str(e).lower()
    )


def _by_functions(session: neo4j.Session) -> Dialect:
    """ArcadeDB may introduce itself as Neo4j; only Neo4j lists its own components."""
    try:
        rows = session.run("CALL dbms.components() YIELD name RETURN collect(name) AS names").data()
    except Neo4jError:
        return "arcadedb"
    return "neo4j" if rows and any("Neo4j" in n for n in rows[0]["names"]) else "arcadedb"
