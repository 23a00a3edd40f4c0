"""The only reader of the environment. Everything else is handed a :class:`Settings`."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from errors import BadSetting


@dataclass(frozen=True)
class Settings:
    """What DLV was told. An empty URL means: the embedded server of that kind under ``home``."""

    home: Path
    host: str = "127.0.0.1"
    port: int = 8050
    admin_password: str | None = field(default=None, repr=False)
    demo: bool = True
    secret_key: str = field(default="", repr=False)
    database_url: str = field(default="", repr=False)
    graph_url: str = ""
    graph_user: str = "neo4j"
    graph_password: str = field(default="", repr=False)
    graph_database: str = ""
    redis_url: str = field(default="", repr=False)
    event_days: int = 30
    run_days: int = 400
    max_body_bytes: int = 20 * 1024 * 1024
    max_pending_events: int = 500_000
    web_threads: int = 12
    api_per_minute: int = 6000
    secure_cookies: bool = False
    trusted_proxies: int = 0
    log_level: str = "INFO"
    secrets_keys: str = field(default="", repr=False)  # "id:key id:key…", the first seals, all open
    secrets_keys_file: str = ""  # a file with the same, one id:key a line
    sqlite_folders: str = ""  # folders, with ":" between, that SQLite connections may read from; empty: any
    allowed_networks: str = (
        ""  # CIDRs that connections and webhooks may reach; empty: all but what is always refused
    )
    private_webhooks: bool = False
    public_url: str = ""
    result_days: int = 90
    group_seconds: int = 60
    reopen_minutes: int = 30
    deadman_url: str = field(default="", repr=False)

    def with_(self, **changes: object) -> Settings:
        return replace(self, **changes)  # type: ignore[arg-type]


def load(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings, or raise :class:`BadSetting` that names the one that is wrong."""
    e = os.environ if env is None else env
    as_root = os.geteuid() == 0
    home = Path(e.get("DLV_HOME") or ("/var/lib/dlv" if as_root else ".dlv")).absolute()
    return Settings(
        home=home,
        host=e.get("DLV_HOST") or "127.0.0.1",
        port=_int(e, "DLV_PORT", 8050, 1, 65535),
        admin_password=e.get("DLV_ADMIN_PASSWORD") or None,
        demo=_bool(e, "DLV_DEMO", True),
        secret_key=_secret(e),
        database_url=_url(e, "DLV_DATABASE_URL", ("postgresql", "postgres")),
        graph_url=_url(e, "DLV_GRAPH_URL", ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")),
        graph_user=e.get("DLV_GRAPH_USER") or "neo4j",
        graph_password=e.get("DLV_GRAPH_PASSWORD") or "",
        graph_database=e.get("DLV_GRAPH_DATABASE") or "",
        redis_url=_url(e, "DLV_REDIS_URL", ("redis", "rediss", "unix")),
        event_days=_int(e, "DLV_EVENT_DAYS", 30, 1, 3650),
        run_days=_int(e, "DLV_RUN_DAYS", 400, 1, 3650),
        max_body_bytes=_int(e, "DLV_MAX_BODY_BYTES", 20 * 1024 * 1024, 1024, 1 << 30),
        max_pending_events=_int(e, "DLV_MAX_PENDING_EVENTS", 500_000, 1, 1 << 31),
        web_threads=_int(e, "DLV_WEB_THREADS", 12, 1, 256),
        api_per_minute=_int(e, "DLV_API_PER_MINUTE", 6000, 1, 10_000_000),
        secure_cookies=_bool(e, "DLV_SECURE_COOKIES", False),
        trusted_proxies=_int(e, "DLV_TRUSTED_PROXIES", 0, 0, 10),
        log_level=(e.get("DLV_LOG_LEVEL") or "INFO").upper(),
        secrets_keys=e.get("DLV_SECRETS_KEYS") or "",
        secrets_keys_file=e.get("DLV_SECRETS_KEYS_FILE") or "",
        sqlite_folders=_folders(e, "DLV_SQLITE_FOLDERS"),
        allowed_networks=_networks(e, "DLV_ALLOWED_NETWORKS"),
        private_webhooks=_bool(e, "DLV_PRIVATE_WEBHOOKS", False),
        public_url=_url(e, "DLV_PUBLIC_URL", ("http", "https")).rstrip("/"),
        result_days=_int(e, "DLV_RESULT_DAYS", 90, 2, 3650),
        group_seconds=_int(e, "DLV_GROUP_SECONDS", 60, 0, 3600),
        reopen_minutes=_int(e, "DLV_REOPEN_MINUTES", 30, 0, 10_080),
        deadman_url=_url(e, "DLV_DEADMAN_URL", ("http", "https")),
    )


def to_env(s: Settings) -> dict[str, str]:
    """The environment in which :func:`load` gives ``s`` again: how `dlv up` tells its children."""
    told = {
        "DLV_HOME": str(s.home),
        "DLV_HOST": s.host,
        "DLV_PORT": str(s.port),
        "DLV_ADMIN_PASSWORD": s.admin_password or "",
        "DLV_DEMO": "1" if s.demo else "0",
        "DLV_SECRET_KEY": s.secret_key,
        "DLV_DATABASE_URL": s.database_url,
        "DLV_GRAPH_URL": s.graph_url,
        "DLV_GRAPH_USER": s.graph_user,
        "DLV_GRAPH_PASSWORD": s.graph_password,
        "DLV_GRAPH_DATABASE": s.graph_database,
        "DLV_REDIS_URL": s.redis_url,
        "DLV_EVENT_DAYS": str(s.event_days),
        "DLV_RUN_DAYS": str(s.run_days),
        "DLV_MAX_BODY_BYTES": str(s.max_body_bytes),
        "DLV_MAX_PENDING_EVENTS": str(s.max_pending_events),
        "DLV_WEB_THREADS": str(s.web_threads),
        "DLV_API_PER_MINUTE": str(s.api_per_minute),
        "DLV_SECURE_COOKIES": "1" if s.secure_cookies else "0",
        "DLV_TRUSTED_PROXIES": str(s.trusted_proxies),
        "DLV_LOG_LEVEL": s.log_level,
        "DLV_SECRETS_KEYS": s.secrets_keys,
        "DLV_SECRETS_KEYS_FILE": s.secrets_keys_file,
        "DLV_SQLITE_FOLDERS": s.sqlite_folders,
        "DLV_ALLOWED_NETWORKS": s.allowed_networks,
        "DLV_PRIVATE_WEBHOOKS": "1" if s.private_webhooks else "0",
        "DLV_PUBLIC_URL": s.public_url,
        "DLV_RESULT_DAYS": str(s.result_days),
        "DLV_GROUP_SECONDS": str(s.group_seconds),
        "DLV_REOPEN_MINUTES": str(s.reopen_minutes),
        "DLV_DEADMAN_URL": s.deadman_url,
    }
    return {name: value for name, value in told.items() if value}


def _int(e: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    raw = e.get(name)
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise BadSetting(
            f"{name} is {raw!r}, not a whole number", field=name, hint=f"e.g. {name}={default}"
        ) from None
    if not low <= value <= high:
        raise BadSetting(
            f"{name} is {value}, outside {low} to {high}", field=name, hint=f"e.g. {name}={default}"
        )
    return value


def _bool(e: Mapping[str, str], name: str, default: bool) -> bool:
    raw = (e.get(name) or "").strip().lower()
    if not raw:
        return default
    if raw in ("1", "true", "yes", "on"):
        return True
    if raw in ("0", "false", "no", "off"):
        return False
    raise BadSetting(f"{name} is {raw!r}, neither 1 nor 0", field=name, hint=f"{name}=1 or {name}=0")


def _url(e: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    raw = e.get(name) or ""
    if raw and urlsplit(raw).scheme not in schemes:
        shown = raw.split("@")[-1]
        raise BadSetting(
            f"{name} ({shown}) does not start with one of {', '.join(s + '://' for s in schemes)}",
            field=name,
            hint=f"e.g. {name}={schemes[0]}://host:port",
        )
    return raw


def _networks(e: Mapping[str, str], name: str) -> str:
    raw = e.get(name) or ""
    for one in raw.replace(",", " ").split():
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            raise BadSetting(
                f"{name}: {one!r} is no network", field=name, hint=f"e.g. {name}=10.0.0.0/8,192.168.1.0/24"
            ) from None
    return raw


def _folders(e: Mapping[str, str], name: str) -> str:
    raw = e.get(name) or ""
    for one in raw.split(":"):
        if one and not one.startswith("/"):
            raise BadSetting(
                f"{name}: {one!r} is no absolute path", field=name, hint=f"e.g. {name}=/srv/data:/srv/exports"
            )
    return raw


def _secret(e: Mapping[str, str]) -> str:
    raw = e.get("DLV_SECRET_KEY") or ""
    if raw and len(raw) < 32:
        raise BadSetting(
            "DLV_SECRET_KEY is shorter than 32 characters",
            field="DLV_SECRET_KEY",
            hint='python3 -c "import secrets; print(secrets.token_urlsafe(48))"',
        )
    return raw
