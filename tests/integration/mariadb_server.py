"""A real MariaDB as a child on loopback, with TLS, for tests: take its fixture by ``mariadb = mariadb_server.mariadb``.

It has the database ``shop`` with the same tables as `serving.shop`, and a user that may do everything there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest
from certificates import Authority

from embedded import child

TABLES = """
create table shop.orders (order_id bigint primary key, customer_id bigint, status text, placed_on date);
create table shop.customers (customer_id bigint primary key, full_name text, email text, country text);
insert into shop.orders values (1, 1, 'Placed', '2026-01-01'), (2, 2, 'Shipped', '2026-01-02');
insert into shop.customers values (1, 'Ada', 'ada@private.example', 'DE'), (2, 'Grace', 'grace@private.example', 'FR');
"""


@dataclass(frozen=True)
class MariaDB:
    """``user`` with ``password`` may do everything in ``database``; ``authority`` signed the server's certificate, which
    is for localhost and 127.0.0.1, and is the one whose clients' certificates are good."""

    port: int
    user: str
    password: str
    database: str
    authority: Authority
    log: Path

    def execute(self, text: str) -> list[Any]:
        """Run statements (``;`` between) as root; rows of the last."""
        with pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", password=self.password, autocommit=True
        ) as conn:
            cursor = conn.cursor()
            for one in text.split(";"):
                if one.strip():
                    cursor.execute(one)
            return list(cursor.fetchall())

    def fields(self, **change: Any) -> dict[str, Any]:
        """The fields of a connection to it."""
        return {
            "host": "localhost", "port": self.port, "database": self.database, "username": self.user,
            "tls": "verified", "ca": self.authority.pem,
        } | change  # fmt: skip


@contextmanager
def running(into: Path) -> Iterator[MariaDB]:
    """A server with its data below ``into``, until the block ends. Skips where there is no MariaDB."""
    server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    if not server:
        pytest.skip("no MariaDB: deploy/test-tools.sh servers")
    data, log, port = into / "data", into / "mariadb.log", child.free_port()
    # of its own: a server that starts removes every temporary table it finds, another server's that runs as well
    scratch = into / "tmp"
    authority = Authority()
    certificate, key = authority.sign("localhost", "127.0.0.1").put(into, "server")
    clients = into / "authority.pem"
    clients.write_text(authority.pem)
    user = ["--user=root"] if os.geteuid() == 0 else []
    with open(log, "ab") as out:
        data.mkdir()
        scratch.mkdir()
        # what mariadb-install-db does, without the client's programs that it wants
        bootstrap = subprocess.run(
            [
                server, "--no-defaults", "--bootstrap", f"--datadir={data}", f"--tmpdir={scratch}", "--skip-log-bin",
                "--loose-innodb", "--default-storage-engine=InnoDB", *user,
            ],
            check=False, input=_system_tables(), stdout=out, stderr=out,
        )  # fmt: skip
        assert bootstrap.returncode == 0, (
            f"MariaDB made no tables:\n{log.read_text(errors='replace')[-2000:]}"
        )
        process = subprocess.Popen(
            [
                server, "--no-defaults", f"--datadir={data}", f"--tmpdir={scratch}", f"--socket={into / 's'}",
                f"--pid-file={into / 'pid'}",
                f"--port={port}", "--bind-address=127.0.0.1", f"--ssl-cert={certificate}", f"--ssl-key={key}",
                f"--ssl-ca={clients}",
                "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve",
                "--skip-log-bin", *user,
            ],
            stdout=out, stderr=out, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    made = MariaDB(port, "reader", "a secret of mariadb", "shop", authority, log)
    try:
        _wait(process, made)
        made.execute(
            f"create database shop; create user '{made.user}'@'127.0.0.1' identified by '{made.password}';"
            f"grant all on shop.* to '{made.user}'@'127.0.0.1';{TABLES}"
        )
        yield made
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _system_tables() -> bytes:
    share = Path("/usr/share/mysql")
    files = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
    lead = "create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\nset @skip_auth_anonymous=1;\n"
    return lead.encode() + b"".join((share / f).read_bytes() for f in files)


def _wait(process: subprocess.Popen[bytes], made: MariaDB) -> None:
    """Until it answers; root has no password at first."""
    end = time.monotonic() + 60
    while True:
        with contextlib.suppress(pymysql.err.OperationalError):
            with pymysql.connect(host="127.0.0.1", port=made.port, user="root", autocommit=True) as conn:
                conn.cursor().execute(f"alter user 'root'@'localhost' identified by '{made.password}'")
                conn.cursor().execute(
                    f"create user if not exists 'root'@'127.0.0.1' identified by '{made.password}'"
                )
                conn.cursor().execute(f"alter user 'root'@'127.0.0.1' identified by '{made.password}'")
            return
        said = made.log.read_text(errors="replace")[-2000:]
        assert process.poll() is None, f"MariaDB ended:\n{said}"
        assert time.monotonic() < end, f"MariaDB never answered:\n{said}"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with running(tmp_path_factory.mktemp("mariadb")) as made:
        yield made
