"""The Dockerfile built for real, and the product run from the image as the image's own user.

Uses buildah and a base image of Debian 12 (deploy/test-tools.sh fetches both), because a registry of images is out of
reach on most build machines and a container engine may not start inside of one.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests
import yaml

import settings as settings_module
from embedded.child import kept_port
from embedded.stack import Stack
from settings import Settings, to_env
from tests.conftest import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache"
BASE = CACHE / "base-image"
STORE = CACHE / "containers"
IMAGE = "localhost/dlv:test"
BASE_IMAGE = "localhost/dlv-test-base:latest"

needs_buildah = pytest.mark.skipif(
    not shutil.which("buildah") or not BASE.is_dir() or os.geteuid() != 0,
    reason="no buildah, no base image or not root: deploy/test-tools.sh says which and why",
)
_PIP_KEEPS = ("index-url", "extra-index-url", "cert", "proxy", "timeout", "default-timeout", "trusted-host")


@functools.cache
def engine() -> tuple[str | Path, ...]:
    """buildah with a store of its own in .cache/; plain copies where the file system does not carry overlays."""
    STORE.mkdir(parents=True, exist_ok=True)
    overlay = ("buildah", "--root", STORE / "root", "--runroot", STORE / "run")
    plain = ("buildah", "--storage-driver=vfs", "--root", STORE / "plain", "--runroot", STORE / "run-plain")
    works = subprocess.run([*overlay, "info"], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
    return overlay if works else plain


def buildah(*args: str | Path, **how: Any) -> str:
    command = [*engine(), *args]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, **how
    )
    assert done.returncode == 0, f"{args[0]} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def pip_mounts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How pip on this machine reaches its index, for the build alone: nothing of it stays in the image."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    kept: dict[str, str] = {}
    for line in said.splitlines():
        key, _, value = line.partition("=")
        name, value = key.rsplit(".", 1)[-1], value.strip("'\"")
        if name in _PIP_KEEPS:
            kept[name] = value  # the environment is listed last and wins
    cert = kept.get("cert", "")
    mounts = ["-v", f"{cert}:{cert}:ro"] if Path(cert).is_file() else []
    conf = tmp_path_factory.mktemp("pip") / "pip.conf"
    conf.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items()))
    return [*mounts, "-v", f"{conf}:/etc/pip.conf:ro"]


@pytest.fixture(scope="module")
def image(pip_mounts: list[str]) -> str:
    """The image, built from this checkout; layers that have not changed come from .cache/."""
    have = buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines()
    if BASE_IMAGE not in have:
        c = buildah("from", "scratch").splitlines()[-1]
        buildah("copy", "-q", c, BASE, "/")
        buildah("commit", "-q", "--rm", c, BASE_IMAGE)
    buildah(
        "bud",
        "--layers",
        "--isolation=chroot",
        "--network=host",
        "--format=docker",  # the other format has no HEALTHCHECK
        f"--build-arg=BASE={BASE_IMAGE}",
        *pip_mounts,
        "-t",
        IMAGE,
        ROOT,
    )
    return IMAGE


@pytest.fixture(scope="module")
def stack_on_loopback() -> Iterator[Settings]:
    """Servers that listen on loopback: the sockets of the shared stack are closed to the image's user.

    A path too long for a socket makes the embedded servers choose loopback by themselves.
    """
    top = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-container-"))
    top.chmod(0o711)
    home = top / ("a-path-too-long-for-the-name-of-a-unix-socket-" * 2) / "home"
    home.parent.mkdir(mode=0o711)
    servers = Stack(settings_module.load({"DLV_HOME": str(home), "DLV_DEMO": "0"}))
    try:
        given = servers.start()
        port = kept_port(home / "secrets" / "web_port")
        yield given.with_(port=port, secret_key=uuid.uuid4().hex * 2)
    finally:
        servers.stop()
        shutil.rmtree(top, ignore_errors=True)


class Box:
    """One container of the image; every command runs as the image's user on the host's network."""

    def __init__(self, env: dict[str, str]) -> None:
        self.name = buildah("from", "--pull-never", IMAGE).splitlines()[-1]
        self.env = [f"--env={name}={value}" for name, value in env.items()]
        self.started: list[subprocess.Popen[bytes]] = []
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the container is

    def command(self, *args: str) -> list[str | Path]:
        run = ["run", "--isolation=chroot", "--network=host", *self.env, self.name, "--", *args]
        return [*engine(), *run]

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    def start(self, *args: str) -> None:
        self.started.append(
            subprocess.Popen(
                self.command(*args), stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        )

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-4000:]

    def close(self) -> None:
        for p in self.started:
            family = psutil.Process(p.pid).children(recursive=True) if p.poll() is None else []
            for child in reversed(family):
                child.terminate()
            _, alive = psutil.wait_procs(family, timeout=10)
            for child in alive:
                child.kill()
            p.kill()
            p.wait()
        buildah("rm", self.name)


@pytest.fixture
def box(image: str, stack_on_loopback: Settings) -> Iterator[Callable[[], Box]]:
    made: list[Box] = []

    def make(**changes: str) -> Box:
        env = {k: v for k, v in to_env(stack_on_loopback).items() if k not in ("DLV_HOME", "DLV_HOST")}
        made.append(Box({**env, "DLV_HOST": "127.0.0.1", **changes}))
        return made[-1]

    try:
        yield make
    finally:
        for b in made:
            b.close()


@needs_buildah
@pytest.mark.container
@pytest.mark.slow
def test_the_image_runs_the_whole_product_as_nobody_special(
    box: Callable[..., Box], stack_on_loopback: Settings
) -> None:
    b = box()
    helped = b.run("dlv", "--help")
    assert helped.returncode == 0 and "migrate" in helped.stdout, helped.stdout

    who = b.run("sh", "-c", "id -u; id -g; touch /app/x || echo may not write; ls /app")
    uid, gid, *rest = who.stdout.split("\n")
    assert (uid, gid) == ("10001", "10001") and "may not write" in who.stdout
    assert "tests" not in rest and ".git" not in rest, "the image holds more than the product"

    missing = b.run("env", "-u", "DLV_DATABASE_URL", "dlv", "web")
    assert missing.returncode != 0 and "DLV_DATABASE_URL" in missing.stdout

    migrated = b.run("dlv", "migrate")
    assert migrated.returncode == 0 and "0001_spine.sql" in migrated.stdout, migrated.stdout
    assert "nothing to migrate" in b.run("dlv", "migrate").stdout
    created = b.run("dlv", "admin", "create", "ada")
    assert created.returncode == 0, created.stdout
    assert "one-time password: " in created.stdout

    for part in ("web", "worker fold", "worker project", "worker check", "worker alert", "scheduler"):
        b.start("dlv", *part.split())
    url = f"http://127.0.0.1:{stack_on_loopback.port}"
    eventually(lambda: _answers(f"{url}/healthz"), timeout=120)
    with psycopg.connect(stack_on_loopback.database_url, autocommit=True) as conn:
        key = _producer(conn)
    event = {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-20T10:00:00Z",
        "run": {"runId": str(uuid.uuid4())},
        "job": {"namespace": "containers", "name": "copy"},
        "inputs": [{"namespace": "postgres://db:5432", "name": "shop.public.orders"}],
        "outputs": [{"namespace": "postgres://db:5432", "name": "shop.public.daily"}],
        "producer": "https://example.org/containers",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }
    sent = requests.post(
        f"{url}/api/v1/lineage", json=event, headers={"Authorization": f"Bearer {key}"}, timeout=30
    )
    assert sent.status_code == 201, sent.text + b.said()

    # the worker folded it, the projector brought it into the graph, and no mark is left behind
    with psycopg.connect(stack_on_loopback.database_url, autocommit=True) as conn:
        eventually(lambda: _one(conn, "select count(*) from edge") == 2, timeout=60)
        eventually(lambda: _one(conn, "select count(*) from graph_dirty") == 0, timeout=60)

        # every part gives signs of life
        parts = {"web", "scheduler", "fold", "project", "check", "alert"}
        alive = "select array_agg(distinct part) from part_beat where at > now() - interval '30 seconds'"
        eventually(lambda: set(_one(conn, alive) or ()) == parts, timeout=90)

    # what the HEALTHCHECK of the image runs says so too
    config = json.loads(buildah("inspect", "--type=image", IMAGE))["Docker"]["config"]
    assert config["User"] == "10001:10001"
    check = config["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    healthy = b.run(*check[1:])
    assert healthy.returncode == 0, healthy.stdout


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _one(conn: psycopg.Connection[Any], query: str) -> Any:
    row = conn.execute(query).fetchone()  # type: ignore[arg-type, call-overload, unused-ignore]
    return row[0] if row else None


def _producer(conn: psycopg.Connection[Any]) -> str:
    """An API key that may send lineage, as an admin would make it."""
    from psycopg.rows import dict_row

    from auth import keys as auth_keys
    from store import keys
    from store.audit import SYSTEM

    conn.row_factory = dict_row  # type: ignore[assignment]
    key, hash_, prefix = auth_keys.new()
    with conn.transaction():
        keys.create(conn, SYSTEM, "containers", ["lineage:write"], hash_, prefix)  # type: ignore[arg-type]
    return key


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = ("web", "worker-fold", "worker-project", "worker-check", "worker-alert", "scheduler", "migrate")
#: those that speak to others than our own stores
REACH_OUT = {"web", "worker-check", "worker-alert", "scheduler"}


def test_compose_file_follows_the_compose_specification() -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("check-jsonschema"),
            "--builtin-schema=vendor.compose-spec",
            ROOT / "docker-compose.yml",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", list(COMPOSE["services"]))
def test_compose_service(name: str) -> None:
    """Ports on loopback only, no password that stands in the file, health known, nothing run as root of ours."""
    service = COMPOSE["services"][name]
    assert all(p.startswith("127.0.0.1:") for p in service.get("ports", []))
    assert "healthcheck" in service
    assert service["healthcheck"].get("disable") or service["healthcheck"]["test"]
    for variable, value in service["environment"].items():
        if any(word in variable for word in ("PASSWORD", "AUTH", "SECRET")) and "ARGS" not in variable:
            assert ":?" in value, f"{variable} has a default"
    assert "no-new-privileges:true" in service["security_opt"]
    if name in OURS:
        assert service["cap_drop"] == ["ALL"] and service["read_only"] is True
        known = set(to_env(settings_module.load({"DLV_HOME": "/tmp"}).with_(**_every_setting())))
        assert set(service["environment"]) <= known, "a setting that does not exist"
        assert ("outside" in service["networks"]) == (name in REACH_OUT)
        command = service["command"]
        assert command[0] in _commands(), f"dlv {command[0]} does not exist"


def test_new_env_writes_what_compose_asks_for(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    script = tmp_path / "deploy" / "new-env.sh"
    shutil.copy(ROOT / "deploy" / "new-env.sh", script)
    subprocess.run(["sh", script], check=True, capture_output=True)
    env = tmp_path / ".env"
    assert env.stat().st_mode & 0o077 == 0
    written = env.read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    given = dict(line.split("=", 1) for line in written.splitlines() if not line.startswith("#"))
    assert set(given) == asked
    assert len(set(given.values())) == len(given) and all(
        re.fullmatch("(main:)?[0-9a-f]{48,}", v) for v in given.values()
    )
    assert subprocess.run(["sh", script], capture_output=True).returncode == 1
    assert env.read_text() == written, "a second run changed the passwords"


def _every_setting() -> dict[str, str]:
    empty = (
        "admin_password",
        "secret_key",
        "secrets_keys",
        "allowed_networks",
        "public_url",
        "deadman_url",
        "database_url",
        "graph_url",
        "graph_password",
        "graph_database",
        "redis_url",
    )
    return dict.fromkeys(empty, "x")


def _commands() -> set[str]:
    import cli

    return set(cli.dlv.commands)


# ---------------------------------------------------------------- the Helm chart

CHART = ROOT / "deploy" / "helm" / "dlv"


def _chart_values() -> set[str]:
    """Every path that the templates read, as .Values.a.b or through the list of parts."""
    text = "".join(p.read_text() for p in (CHART / "templates").iterdir())
    return set(re.findall(r"\.Values\.([A-Za-z0-9.]+)", text))


@pytest.mark.parametrize("path", sorted(_chart_values()))
def test_the_chart_reads_only_values_that_it_has(path: str) -> None:
    here: Any = yaml.safe_load((CHART / "values.yaml").read_text())
    for part in path.split("."):
        assert part in here, f"values.yaml has no {path}"
        here = here[part]


def test_the_chart_has_no_password() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["existingSecret"] == ""
    said = re.findall(
        r"(?im)^\s*\w*(?:password|secret_key)\w*:\s*(\S.*)$", (CHART / "values.yaml").read_text()
    )
    assert said == []


def test_helm_renders_the_chart() -> None:
    """With helm where it is (it is in no registry that a test may fetch from quickly): lint, and what it makes."""
    helm = shutil.which("helm")
    if helm is None:
        for template in (CHART / "templates").iterdir():
            text = template.read_text()
            opened = len(re.findall(r"{{-?\s*(?:if|range|with|define)\b", text))
            assert opened == len(re.findall(r"{{-?\s*end\b", text)), template.name
        return
    subprocess.run([helm, "lint", CHART, "--set=existingSecret=dlv"], check=True, capture_output=True)
    made = subprocess.run(
        [helm, "template", "dlv", CHART, "--set=existingSecret=dlv"],
        check=True,
        capture_output=True,
        text=True,
    )
    kinds = {}
    for thing in yaml.safe_load_all(made.stdout):
        kinds[(thing["kind"], thing["metadata"]["name"])] = thing
    for name in OURS[:-1]:
        pod = kinds[("Deployment", f"dlv-{name}")]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["containers"][0]["args"][0] in _commands()
    refused = subprocess.run([helm, "template", "dlv", CHART], capture_output=True, text=True)
    assert refused.returncode != 0 and "existingSecret" in refused.stderr
