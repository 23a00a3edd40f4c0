"""The house stands as docs/design.md ("The house") says: who may import what, and what is nowhere to be found.

Everything is read, nothing is imported, so an import in a function or under TYPE_CHECKING counts too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = (
    "alerts",
    "answers",
    "api",
    "auth",
    "checks",
    "connections",
    "embedded",
    "graph",
    "ingest",
    "pages",
    "store",
    "workers",
)
#: anybody may import these: plain dataclasses and pure functions that import the standard library and each other
NOUNS = {
    "errors",
    "graph.model",
    "checks.health",
    "checks.fields",
    "checks.result",
    "checks.schedule",
    "checks.uptime",
    "alerts.incident",
    "alerts.postmortem",
    "alerts.severity",
    "alerts.message",
    "alerts.routing",
    "ingest.events",
    "ingest.facts",
    "ingest.ids",
    "ingest.messages",
}
#: room → the rooms it may import beside itself, the nouns and the Settings that it is handed
MAY = {
    "store": set(),
    "graph": set(),
    "connections": {"store"},
    "auth": {"store"},
    "ingest": {"store"},
    "checks": {"store", "connections"},
    "alerts": {"store", "connections"},
    "answers": {"store", "graph"},
    # the supervisor starts the embedded servers, so `embedded` belongs to it; it imports nothing of ours itself
    "workers": {"store", "graph", "connections", "ingest", "checks", "alerts", "answers", "embedded"},
    "api": {"store", "graph", "connections", "auth", "ingest", "checks", "alerts", "answers"},
    "pages": {"store", "graph", "connections", "auth", "ingest", "checks", "alerts", "answers"},
    "embedded": set(),
}
#: who may speak to a server by itself; `ingest` knows psycopg for its deadlock error, which it answers by doing a batch again
DRIVERS = {
    "neo4j": {"graph", "embedded"},
    "psycopg": {"store", "ingest", "embedded", "connections", "app", "cli"},
    "psycopg_pool": {"store"},
    "redis": {"workers", "embedded", "app", "cli"},
    "rq": {"workers"},
    "sqlalchemy": {"connections", "checks"},
    "pymysql": {"connections"},
    "kafka": {"connections", "checks"},
    "requests": {"connections", "checks", "alerts"},
}
#: the only files that read the settings for themselves: where a process begins
ENTRIES = {"app.py", "cli.py", "workers/jobs.py"}
#: children inherit the rest of the environment, never a DLV_ setting by itself
PASS_ON = {"embedded/postgres.py", "workers/supervise.py"}


def product() -> list[Path]:
    return sorted(
        [p for room in ROOMS for p in (ROOT / room).rglob("*.py")]
        + [ROOT / name for name in ("app.py", "cli.py", "settings.py", "errors.py")]
    )


FILES = product()
NAMES = [str(p.relative_to(ROOT)) for p in FILES]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(p) for p in FILES}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module a file imports, with its line; ``from a import b`` is a.b where that is a module, else a."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield (whole if whole in MODULES else module), node.lineno


def wrong(path: Path) -> list[str]:
    """What the file imports and may not."""
    me = module_of(path)
    room = me.split(".")[0]
    out = []
    for name, line in imports(path):
        top = name.split(".")[0]
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        if top in DRIVERS and room not in DRIVERS[top]:
            out.append(f"{where}: only {', '.join(sorted(DRIVERS[top]))} speak to that server")
        if top not in ROOMS and name not in ("app", "cli", "settings", "errors"):
            if me in NOUNS and top not in sys.stdlib_module_names:
                out.append(f"{where}: a noun imports the standard library only")
            continue
        if name in ("app", "cli"):
            out.append(f"{where}: nobody imports it")
        elif me in NOUNS:
            if name not in NOUNS:
                out.append(f"{where}: a noun imports the standard library only")
        elif room in ("app", "cli", "settings") or name in NOUNS or name == "settings":
            continue
        elif top != room and top not in MAY[room]:
            out.append(f"{where}: {room} may import {', '.join(sorted(MAY[room])) or 'no other room'}")
        elif room == "pages" and name.startswith("pages.") and not name.split(".")[-1].startswith("_"):
            out.append(f"{where}: a page never imports a page")
    return out


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_who_may_import_what(path: Path) -> None:
    assert wrong(path) == []


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("store/x.py", "from graph.driver import Graph"),
        ("store/x.py", "def f():\n    from ingest import naming"),
        ("graph/x.py", "import store.record"),
        ("ingest/x.py", "from graph import reach"),
        ("answers/x.py", "import psycopg"),
        ("api/x.py", "import pages._shell"),
        ("api/x.py", "from workers import wake"),
        ("pages/x.py", "import neo4j.exceptions"),
        ("pages/x.py", "from pages import lineage"),
        ("pages/x.py", "from api.resource import Call"),
        ("checks/health.py", "import yaml"),
        ("checks/health.py", "from store import nodes"),
        ("embedded/x.py", "from store.record import Record"),
        ("auth/x.py", "import app"),
    ],
)
def test_the_rules_catch(where: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule, broken once: a check that finds nothing anywhere would hold nothing."""
    monkeypatch.setattr(Path, "read_text", lambda self: text)
    assert wrong(ROOT / where) != []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_settings_are_handed_down(path: Path) -> None:
    """Only settings.py reads the environment, and only a process's entry reads the settings."""
    name = str(path.relative_to(ROOT))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
            assert name == "settings.py" or name in PASS_ON, f"{name}:{node.lineno} reads the environment"
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            taken = {a.name for a in node.names}
            assert not taken & {"environ", "getenv"}, f"{name}:{node.lineno} reads the environment"
        if isinstance(node, ast.ImportFrom) and node.module == "settings":
            taken = {a.name for a in node.names}
            assert "load" not in taken or name in ENTRIES, f"{name}:{node.lineno} reads the settings"
        if isinstance(node, ast.Import) and any(a.name == "settings" for a in node.names):
            assert name in ENTRIES, f"{name}:{node.lineno} reads the settings; take a Settings instead"
    if name in PASS_ON:
        assert not re.search(r"""environ(\.get\(|\[)["']DLV_""", path.read_text()), f"{name} reads a setting"


# ---------------------------------------------------------------- the record


CONSTRAINTS = "unique|primary|check|foreign|constraint|exclude"


def columns() -> Iterator[tuple[str, str, str]]:
    """(table, column, the line) of every create table in the migrations."""
    for path in sorted((ROOT / "store" / "migrations").glob("*.sql")):
        table = None
        for line in path.read_text().splitlines():
            began = re.match(r"create table (?:if not exists )?(\w+) \(", line)
            if began:
                table = began[1]
            elif line.startswith(")"):
                table = None
            elif table and (word := re.match(rf"    (?!(?:{CONSTRAINTS})\b)(\w+) ", line)):
                yield table, word[1], line
            added = re.match(r"alter table (\w+) add column (?:if not exists )?(\w+) ", line)
            if added:
                yield added[1], added[2], line


def test_every_column_says_what_it_is_for() -> None:
    found = list(columns())
    assert len(found) > 200, "the migrations are not read as they are written"
    assert [f"{t}.{c}" for t, c, line in found if "--" not in line] == []


# ---------------------------------------------------------------- nowhere


def ours() -> list[Path]:
    """Every text file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    kinds = {".py", ".md", ".sql", ".css", ".js", ".toml", ".txt", ".yml", ".yaml", ".sh", ".tpl", ""}
    here = [ROOT / name for name in listed if name]
    return [
        p
        for p in here
        if p.suffix in kinds and p.is_file() and "vendor" not in p.parts and "data" not in p.parts
    ]


def test_no_emoji() -> None:
    emoji = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f]")
    found = [
        f"{p.relative_to(ROOT)}:{n}"
        for p in ours()
        for n, line in enumerate(p.read_text(errors="ignore").splitlines(), 1)
        if emoji.search(line)
    ]
    assert found == []


def test_one_graph_driver() -> None:
    """The official driver only: py2neo has been at its end of life since 2023 (docs/decisions/0001)."""
    wanted = [line.split("==")[0].lower() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert "neo4j" in wanted
    assert not {"py2neo", "neomodel", "neo4j-driver"} & set(wanted)


def test_every_requirement_is_pinned() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and not line.startswith(("#", "-r ")):
                assert re.fullmatch(r"[\w.\-\[\]]+==[\w.]+", line), f"{name}: {line}"
