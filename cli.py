"""The `dlv` command. `dlv up` is all most people need; the rest are its parts, one by one."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

import settings as settings_module
from errors import BadSetting, DlvError
from settings import Settings

if TYPE_CHECKING:
    from graph.driver import Graph
    from store.record import Record

ROOT = Path(__file__).resolve().parent
#: seconds `dlv up` waits for a freshly seeded demo to be on the map before it says it is ready
DEMO_SECONDS = 60.0

NEEDS = {
    "database_url": ("DLV_DATABASE_URL", "postgresql://user:password@host:5432/dlv"),
    "redis_url": ("DLV_REDIS_URL", "redis://host:6379/0"),
    "graph_url": ("DLV_GRAPH_URL", "bolt://host:7687"),
    "secret_key": ("DLV_SECRET_KEY", "at least 32 random characters, the same for every process"),
}


class Group(click.Group):
    """Says a wrong setting or input in two lines and exit code 2, without a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except DlvError as e:
            click.echo(f"dlv: {e.message}", err=True)
            if e.hint:
                click.echo(f"     {e.hint}", err=True)
            sys.exit(2)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def dlv() -> None:
    """DLV: from a red tile to its root cause and its blast radius in one glance."""


# ---------------------------------------------------------------- the whole


@dlv.command()
def up() -> None:
    """Start everything and stay in front: Ctrl-C stops it all."""
    from embedded.stack import HomeLock, Stack
    from workers.supervise import Supervisor

    settings = settings_module.load()
    log_to(sys.stderr, "WARNING")
    lock = HomeLock(settings.home)
    with home_errors(settings):
        lock.take(_address(settings))
    stack = Stack(settings)
    supervisor = Supervisor(stack, say)
    asked = threading.Event()

    def ask(signum: int, _: Any) -> None:
        if asked.is_set():  # asked again: do not wait for anybody
            os._exit(130)  # the kernel ends the children with us
        asked.set()
        raise KeyboardInterrupt

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, ask)
    try:
        _bring_up(supervisor, settings)
        supervisor.watch(asked.is_set)
    except KeyboardInterrupt:
        say("stopping")
    finally:
        asked.set()
        supervisor.stop()
        lock.release()
    say("stopped")


def _bring_up(supervisor: Any, settings: Settings) -> None:
    from auth import signin
    from embedded.child import secret_file
    from workers.supervise import check_port, wait_for_web

    began = time.monotonic()
    check_port(settings)
    stack = supervisor.stack
    what = ", ".join(type(s).__name__ for s in stack.servers)
    say(f"starting {what or 'nothing embedded'}; data and logs are in {settings.home}")
    supervisor.settings = settings.with_(
        secret_key=settings.secret_key
        or secret_file(settings.home / "secrets" / "secret_key", lambda: secrets.token_urlsafe(48)),
        secrets_keys_file=_keys_file(settings, make=True),
    )
    check_keys(supervisor.settings)
    check_given(settings)
    with home_errors(settings):
        stack.start()
    supervisor.adopt_servers()
    settings = supervisor.settings
    for name in _migrate(settings):
        say(f"migrated {name}")
    web = supervisor.add("web", "web", on_parent_death=signal.SIGTERM)
    supervisor.add("worker-fold", "worker", "fold")
    # reading events is most of the work at hundreds a second, and one process uses one core
    supervisor.add("worker-fold-2", "worker", "fold")
    supervisor.add("worker-project", "worker", "project")
    supervisor.add("worker-check", "worker", "check")
    supervisor.add("scheduler", "scheduler")
    with opened(settings) as record:
        for line in lost_secrets(record, settings):
            say(line)
        if settings.demo and _seed(record):
            say("seeded the demo estate (DLV_DEMO=0 leaves it out)")
            _wait_for_map(record)
        # not before: decided on a graph that has half of the edges, one root cause showed as three incidents
        supervisor.add("worker-alert", "worker", "alert")
        wait_for_web(settings, web)
        password = signin.first_admin(record, settings)  # last: what is made here is printed here, once
    say(f"ready after {time.monotonic() - began:.1f} s")
    click.echo(f"\n  DLV is at   {_address(settings)}")
    if password:
        click.echo("  sign in as  admin")
        click.echo(f"  password    {password}   (shown once; it has to be changed at the first sign-in)")
    else:
        click.echo("  sign in as  admin with its password (lost it? `dlv admin reset admin`)")
    click.echo("  Ctrl-C stops it\n")


def _wait_for_map(record: Record) -> None:
    """Until what was seeded is folded and in the graph; not for ever, the workers go on by themselves."""
    end = time.monotonic() + DEMO_SECONDS
    while time.monotonic() < end:
        row = record.one(
            """select exists (select 1 from event_pending where not set_aside)
                   or exists (select 1 from graph_dirty) as busy"""
        )
        if row is not None and not row["busy"]:
            return
        time.sleep(0.1)


# ---------------------------------------------------------------- its parts


@dlv.command()
def web() -> None:
    """Serve the pages and the API."""
    s = with_needs("database_url", "redis_url", "graph_url", "secret_key")
    check_keys(s)
    os.chdir(ROOT)
    log_to(sys.stderr, s.log_level)
    from api import serving

    serving.run("app:serve", s.host, s.port, s.log_level)


@dlv.command()
@click.argument("queue", type=click.Choice(["fold", "project", "check", "alert"]))
def worker(queue: str) -> None:
    """Work on one queue: `fold` brings events into the record, `project` the record into the graph, `check` looks at
    real systems, `alert` decides about incidents and tells people."""
    s = with_needs("database_url", "redis_url", *(["graph_url"] if queue in ("project", "alert") else []))
    log_to(sys.stderr, s.log_level)
    from workers.run import run

    if queue in ("check", "alert"):
        check_keys(s)
        with opened(s) as record:
            for line in lost_secrets(record, s):
                logging.getLogger("dlv.secrets").error(line)
    run(s, queue)


@dlv.command()
def scheduler() -> None:
    """Wake the workers, make and drop partitions, and what else is due. Any number may run."""
    s = with_needs("database_url", "redis_url")
    log_to(sys.stderr, s.log_level)
    from workers.scheduler import run

    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    run(s, stop)


@dlv.command()
def migrate() -> None:
    """Bring the record's tables up to date."""
    with running() as s:
        done = _migrate(s)
    click.echo("\n".join(f"migrated {n}" for n in done) or "nothing to migrate")


@dlv.command()
def seed() -> None:
    """Put the demo estate into an empty record."""
    with running("redis_url") as s, opened(s) as record:
        click.echo(
            "seeded the demo estate" if _seed(record) else "the record is not empty; nothing was seeded"
        )


@dlv.command()
def refold() -> None:
    """Read every name and every stored event again, after a naming rule changed."""
    from ingest import refold as refolding
    from workers.wake import FOLD, Waker

    with running("redis_url") as s, opened(s) as record:
        done = refolding.refold(record, log=click.echo)
        Waker(s.redis_url)(FOLD)
        _watch_folding(record, done.queued)


def _watch_folding(record: Record, total: int) -> None:
    """Show how the workers get on; interrupting this stops the showing only."""
    with click.progressbar(length=total, label="folding", show_pos=True) as bar:
        while bar.pos < total:
            time.sleep(0.3)
            row = record.one("select count(*) as n from event_pending where not set_aside")
            waiting = int(row["n"]) if row else 0
            bar.update(max(0, total - waiting - bar.pos))


# ---------------------------------------------------------------- people


@dlv.group()
def admin() -> None:
    """Admins, from the machine that runs DLV."""


@admin.command("create")
@click.argument("username")
@click.option(
    "--role", type=click.Choice(["admin", "responder", "viewer"]), default="admin", show_default=True
)
def admin_create(username: str, role: str) -> None:
    """Make a user and print a one-time password."""
    from auth import signin
    from store.audit import SYSTEM

    with running() as s, opened(s) as record:
        _, password = signin.add_user(record, SYSTEM, username, role)
    click.echo(f"{username} ({role}), one-time password: {password}")


@admin.command("reset")
@click.argument("username")
def admin_reset(username: str) -> None:
    """Give an admin a new one-time password, enable it and end its sessions."""
    from auth import signin

    with running() as s, opened(s) as record:
        password = signin.reset_admin(record, username)
    click.echo(f"{username}, one-time password: {password}")


# ---------------------------------------------------------------- graph and audit


@dlv.group()
def graph() -> None:
    """The graph, which is rebuilt from the record at any time."""


@graph.command("rebuild")
def graph_rebuild() -> None:
    """Fill a new graph from the record while readers use the old one."""
    from workers.rebuild import rebuild

    with (
        running("graph_url") as s,
        opened(s) as record,
        graph_of(s) as g,
        click.progressbar(length=1, label="rebuilding", show_pos=True) as bar,
    ):

        def progress(done: int, total: int) -> None:
            bar.length = max(1, total)
            bar.update(done - bar.pos)

        rebuild(record, g, progress)
        bar.update((bar.length or 1) - bar.pos)


@dlv.group()
def audit() -> None:
    """The audit log."""


@audit.command("verify")
def audit_verify() -> None:
    """Check the hash chain; exit code 1 and the first broken row where it does not hold."""
    from store.audit import verify

    with running() as s, opened(s) as record:
        ok, broken = verify(record)
    if not ok:
        click.echo(
            f"the audit log was changed: row {broken} does not follow from the one before it", err=True
        )
        sys.exit(1)
    click.echo("the audit log is whole")


# ---------------------------------------------------------------- secrets of connections and channels


@dlv.group("secrets")
def secrets_() -> None:
    """The keys that seal the secrets of connections and channels."""


@secrets_.command("status")
def secrets_status() -> None:
    """Which keys there are, what each seals, and what is lost; exit code 1 where something is."""
    from connections import rotation
    from connections.secrets import box

    with running() as s, opened(s) as record, record.tx() as conn:
        keys = box(s)
        found = rotation.survey(conn, keys)
    for n, key in enumerate(keys.keys):
        click.echo(f"{key}: seals {found.sealed[key]} secrets{', and new ones' if n == 0 else ''}")
    if not keys.keys:
        click.echo("there is no key: nothing can be sealed (DLV_SECRETS_KEYS)")
    for line in found.lines():
        click.echo(line, err=True)
    if found.lost:
        sys.exit(1)


@secrets_.command("rotate")
@click.option("--new-key", is_flag=True, help="Put a new key first into the file of keys before")
def secrets_rotate(new_key: bool) -> None:
    """Seal all secrets anew under the first key, all or none."""
    from connections import rotation
    from connections.secrets import box
    from connections.secrets import new_key as made
    from store.audit import SYSTEM

    with running() as s, opened(s) as record:
        if new_key:
            _write_keys(s, lambda lines: [made(), *lines])
        with record.tx() as conn:
            done = rotation.rotate(conn, SYSTEM, box(s))
    click.echo(
        f"sealed {done.secrets} secrets anew under {done.key}, of {done.connections} connections and "
        f"{done.channels} channels"
    )
    if not done.secrets and not new_key:
        click.echo("all that opens was under it already (--new-key makes a new key first)")
    for line in done.lost.lines():
        click.echo(line, err=True)
    if done.lost.lost:
        sys.exit(1)


@secrets_.command("forget")
@click.argument("key")
def secrets_forget(key: str) -> None:
    """Take a key that seals nothing any more out of the file of keys."""
    from connections import rotation
    from connections.secrets import box

    with running() as s, opened(s) as record, record.tx() as conn:
        used = rotation.survey(conn, box(s)).sealed[key]
        if used:
            raise BadSetting(f"{key} still seals {used} secrets", hint="`dlv secrets rotate` first")
        if box(s).first == key:
            raise BadSetting(f"{key} seals what is new", hint="`dlv secrets rotate --new-key` first")
        _write_keys(s, lambda lines: [line for line in lines if line.partition(":")[0] != key])
    click.echo(f"{key} is forgotten")


def _write_keys(s: Settings, change: Callable[[list[str]], list[str]]) -> None:
    from connections.secrets import read_file
    from embedded.child import write_private

    if s.secrets_keys or not s.secrets_keys_file:
        raise BadSetting(
            "the keys stand in DLV_SECRETS_KEYS, which a command cannot write",
            field="DLV_SECRETS_KEYS",
            hint='put "id:key" of a new key (id:$(openssl rand -hex 32)) before the others there, start DLV again, then `dlv secrets rotate`',
        )
    path = Path(s.secrets_keys_file)
    lines = read_file(path).replace(",", " ").split()
    write_private(path, "\n".join(change(lines)) + "\n")


def _keys_file(s: Settings, *, make: bool = False) -> str:
    """The file of keys: the one that is named, else the one in DLV_HOME; made there by `dlv up` where there is none."""
    from connections.secrets import new_key
    from embedded.child import secret_file

    if s.secrets_keys or s.secrets_keys_file:
        return s.secrets_keys_file
    path = s.home / "secrets" / "secrets_keys"
    if make:
        secret_file(path, new_key)
    return str(path) if path.exists() else ""


def check_keys(s: Settings) -> None:
    """Raise :class:`BadSetting` where the keys of the secrets cannot be read."""
    from connections.secrets import box

    box(s)


def lost_secrets(record: Record, s: Settings) -> list[str]:
    from connections.rotation import lost_at_start

    return lost_at_start(record, s)


# ---------------------------------------------------------------- shared


def say(message: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {message}")


def log_to(stream: Any, level: str) -> None:
    logging.basicConfig(
        stream=stream, level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    logging.getLogger("neo4j").setLevel("ERROR")
    logging.getLogger("psycopg.pool").setLevel("ERROR")


@contextmanager
def running(*needs: str) -> Iterator[Settings]:
    """The settings for a command beside a running DLV: what is not given is taken from the `dlv up` on DLV_HOME.

    Where none runs, the embedded servers are started for the command alone.
    """
    from embedded.stack import HomeLock, Stack, Taken

    s = settings_module.load()
    s = s.with_(secrets_keys_file=_keys_file(s))
    log_to(sys.stderr, "WARNING")
    check_given(s, "database_url", *needs)
    if s.database_url and all(getattr(s, n) for n in needs):
        yield s
        return
    lock = HomeLock(s.home)
    with home_errors(s):
        try:
            lock.take("a command")
        except Taken:
            yield Stack(s).known()
            return
    stack = Stack(s)
    try:
        with home_errors(s):
            s = stack.start()
        _migrate(s)
        yield s
    finally:
        stack.stop()
        lock.release()


def with_needs(*needs: str) -> Settings:
    """The settings of a process that `dlv up` or a container starts; all of ``needs`` must be given."""
    s = settings_module.load()
    for need in needs:
        if not getattr(s, need):
            name, example = NEEDS[need]
            raise BadSetting(
                f"{name} is not set, and this command needs it",
                field=name,
                hint=f"e.g. {name}={example}; or `dlv up`, which starts what is not set",
            )
    return s


@contextmanager
def opened(s: Settings) -> Iterator[Record]:
    from store.record import Record

    record = Record(s.database_url, max_size=3)
    try:
        yield record
    finally:
        record.close()


@contextmanager
def graph_of(s: Settings) -> Iterator[Graph]:
    from graph.driver import connect

    g = connect(s.graph_url, s.graph_user, s.graph_password, s.graph_database)
    try:
        yield g
    finally:
        g.close()


@contextmanager
def home_errors(s: Settings) -> Iterator[None]:
    """A folder we may not write is a wrong DLV_HOME, not a traceback."""
    try:
        yield
    except OSError as e:
        raise BadSetting(
            f"DLV_HOME ({s.home}): {e.strerror or e}: {e.filename or ''}",
            field="DLV_HOME",
            hint="set DLV_HOME to a folder this user may write, on a local disk",
        ) from e


def check_given(s: Settings, *names: str) -> None:
    """What of these (default: all) is pointed elsewhere must answer now; raise :class:`BadSetting` that names the one
    that does not."""
    checks = {"database_url": check_database, "redis_url": check_redis, "graph_url": check_graph}
    for name in names or checks:
        if getattr(s, name):
            checks[name](s)


def check_database(s: Settings) -> None:
    import psycopg

    try:
        psycopg.connect(s.database_url, connect_timeout=5).close()
    except psycopg.Error as e:
        raise BadSetting(
            f"DLV_DATABASE_URL: tried {_shown(s.database_url)}: {str(e).strip().splitlines()[0]}",
            field="DLV_DATABASE_URL",
            hint="check host, port, database, user and password; the server must run and let this machine in",
        ) from e


def check_redis(s: Settings) -> None:
    """Raise :class:`BadSetting` where Redis does not answer."""
    import redis

    from workers.wake import connect

    try:
        with connect(s.redis_url) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as e:
        raise BadSetting(
            f"DLV_REDIS_URL: tried {_shown(s.redis_url)}: {e}",
            field="DLV_REDIS_URL",
            hint="check host, port and password; the server must run and let this machine in",
        ) from e


def check_graph(s: Settings) -> None:
    """Raise :class:`BadSetting` where the graph does not answer."""
    with graph_of(s) as g:
        said = g.check()
    if said:
        raise BadSetting(
            f"DLV_GRAPH_URL: tried {_shown(s.graph_url)} as {s.graph_user}: {said}",
            field="DLV_GRAPH_URL",
            hint="check the address, DLV_GRAPH_USER, DLV_GRAPH_PASSWORD and DLV_GRAPH_DATABASE",
        )


def _migrate(s: Settings) -> list[str]:
    from store import partitions
    from store import record as store_record

    done = store_record.migrate(s.database_url)
    with opened(s) as record:
        partitions.ensure_ahead(record)
    return done


def _seed(record: Record) -> bool:
    from importlib.util import find_spec

    if not find_spec("ingest.demo"):
        return False
    from ingest import demo

    return demo.seed(record)


def _shown(url: str) -> str:
    """An address without its password."""
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return f"{parts.scheme}://{host}{parts.path}"


def _bind(s: Settings) -> str:
    return f"[{s.host}]:{s.port}" if ":" in s.host else f"{s.host}:{s.port}"


def _address(s: Settings) -> str:
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(s.host, s.host)  # noqa: S104 - compared, not bound
    return f"http://{_bind(s.with_(host=host))}/"


if __name__ == "__main__":
    dlv(prog_name="dlv")
