"""The web process: Flask, Dash, the REST API and the gate in front of them. Nobody imports this.

``uvicorn --factory app:serve``; `dlv web` does that with DLV's limits (api/serving.py).
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import re
import socket
import sys
import threading
import time
import uuid
from importlib import import_module, util
from pathlib import Path
from typing import Any

import dash
from dash import Dash, html
from flask import Flask, Response, g, request
from flask_limiter import Limiter, RateLimitExceeded
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.exceptions import NotFound as NoSuchPath
from werkzeug.middleware.proxy_fix import ProxyFix

import api
import api.errors
import api.health
import api.lineage
import api.openapi
import auth.page
import auth.tokens
import settings as settings_module
from answers import warm
from answers.context import Dlv, Queue
from api.first_lane import FirstLane
from auth.gate import Gate
from connections import rotation
from errors import BadSetting, DlvError, Throttled
from settings import Settings
from store import beats
from store.record import Record

log = logging.getLogger("dlv.web")

ROOT = Path(__file__).parent
_YEAR = 365 * 24 * 3600
#: how often, and how many seconds apart, a web process that started tries to warm the graph
WARM_TRIES, WARM_EVERY = 12, 5.0
_INDEX = """<!DOCTYPE html>
<html lang="en">
    <head>
        {%metas%}
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>{%title%}</title>
        {%favicon%}
        {%css%}
    </head>
    <body>
        {%app_entry%}
        <footer>
            {%config%}
            {%scripts%}
            {%renderer%}
        </footer>
    </body>
</html>"""


def create_app(settings: Settings | None = None) -> Flask:
    """The whole web process as a WSGI application. Connects to nothing yet: stores may come up later."""
    given = settings or settings_module.load()
    if not given.database_url:
        raise BadSetting(
            "DLV_DATABASE_URL is not set",
            field="DLV_DATABASE_URL",
            hint="`dlv up` starts an embedded Postgres and sets it; `dlv web` alone needs one that runs",
        )
    server = _flask(given)
    record = Record(given.database_url, max_size=given.web_threads + 4)
    dlv = Dlv(given, record, _graph(given), Queue(_queue_ping(given)))
    server.extensions["dlv"] = dlv
    server.before_request(_note_request)
    auth.tokens.configure(server, given)
    api.errors.install(server)
    app = _dash(server)
    gate = Gate(app, record, api.errors.wants_page)
    server.extensions["dlv_gate"] = gate
    server.extensions["dlv_receiver"] = api.lineage.Receiver(record, given, _fold_waker(given))
    server.extensions["dlv_dash"] = app
    auth.page.install(server, record)
    limiter = _limiter(server, given)
    endpoints = api.install(server, limiter.limit(f"{given.api_per_minute} per minute"))
    api.openapi.install(server, endpoints)
    api.health.install(server, dlv)
    _nothing_else_under_api(server)
    server.after_request(_Headers(app, given))
    return server


def lane(server: Flask) -> FirstLane:
    """The application as ASGI: plain events the short way, all else by Flask on threads."""
    known = server.extensions
    threads = known["dlv"].settings.web_threads
    return FirstLane(server, known["dlv_gate"].keys, known["dlv_receiver"], threads)


def serve() -> FirstLane:
    """:func:`create_app` for a server that stays: it asks the graph each question once, so that no reader is first."""
    server = create_app()
    # an answer of thousands of nodes must not have all that an app consists of looked through for garbage
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    threading.Thread(target=_warm, args=(server.extensions["dlv"],), name="warm", daemon=True).start()
    threading.Thread(target=_live, args=(server.extensions["dlv"],), name="life", daemon=True).start()
    return lane(server)


def _live(dlv: Dlv) -> None:
    """Signs of life: without one nothing can be heard of producers, and none of them is quiet for that."""
    instance = f"{socket.gethostname()}:{os.getpid()}"
    while True:
        with contextlib.suppress(DlvError):
            beats.beat(dlv.record, "web", instance)
        time.sleep(beats.EVERY)


def _warm(dlv: Dlv) -> None:
    for line in rotation.lost_at_start(dlv.record, dlv.settings):
        log.error(line)
    for _ in range(WARM_TRIES):
        try:
            log.debug("the graph is warm after %s walks", warm.warm(dlv))
            return
        except Exception as e:  # a store that is away, or a graph that nobody has prepared yet
            log.info("the graph is not warm yet: %s", e)
            time.sleep(WARM_EVERY)


def _flask(settings: Settings) -> Flask:
    server = Flask("dlv", root_path=str(ROOT), static_folder=None)
    server.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes + 64 * 1024,
        MAX_FORM_MEMORY_SIZE=1024 * 1024,
        SEND_FILE_MAX_AGE_DEFAULT=_YEAR,  # Dash puts a fingerprint into the address of each asset
        COMPRESS_BR_LEVEL=1,
        COMPRESS_LEVEL=3,  # gzip, which is for scripts: at 6 an answer of 200 nodes takes twice as long for a fifth less
        COMPRESS_MIN_SIZE=1000,
        COMPRESS_MIMETYPES=[
            "text/html",
            "text/css",
            "text/csv",
            "application/javascript",
            "text/javascript",
            "application/json",
            "image/svg+xml",
        ],
        TRAP_BAD_REQUEST_ERRORS=False,
        PROPAGATE_EXCEPTIONS=False,
    )
    if settings.trusted_proxies:
        n = settings.trusted_proxies
        server.wsgi_app = ProxyFix(server.wsgi_app, x_for=n, x_proto=n, x_host=n)  # type: ignore[method-assign]
    return server


def _dash(server: Flask) -> Dash:
    """Dash on the server, with every page found under pages/."""
    # pages register in module globals: forget those of an application made earlier in this process (tests make many)
    for name in [n for n in sys.modules if n == "pages" or n.startswith("pages.")]:
        del sys.modules[name]
    dash.page_registry.clear()
    dash._callback.GLOBAL_CALLBACK_LIST.clear()
    dash._callback.GLOBAL_CALLBACK_MAP.clear()
    dash._callback.GLOBAL_INLINE_SCRIPTS.clear()
    shell = import_module("pages._shell") if util.find_spec("pages._shell") else None
    app = Dash(
        "dlv",
        server=server,
        use_pages=True,
        pages_folder=str(ROOT / "pages"),
        assets_folder=str(ROOT / "assets"),
        assets_ignore=r"^(sign-in|api-docs)\.css$",
        index_string=_INDEX,
        title="DLV",
        update_title="",
        compress=True,
        suppress_callback_exceptions=True,
        serve_locally=True,
    )
    app.layout = shell.layout if shell else html.Div(dash.page_container)
    return app


def _graph(settings: Settings) -> Any:
    from graph.driver import connect

    return connect(settings.graph_url, settings.graph_user, settings.graph_password, settings.graph_database)


def _fold_waker(settings: Settings) -> Any:
    """Wakes the fold worker, off the request: a slow or dead Redis must not delay an answer."""
    if not settings.redis_url:
        return lambda: None
    from api.waker import Background
    from workers.wake import FOLD, Waker

    waker = Waker(settings.redis_url)
    return Background(lambda: waker(FOLD))


def _queue_ping(settings: Settings) -> Any:
    """Raises where Redis does not answer in half a second."""
    import redis

    if not settings.redis_url:
        return lambda: None
    client = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=0.5, socket_timeout=0.5)
    return client.ping


def _limiter(server: Flask, settings: Settings) -> Limiter:
    """Calls a minute, by key or person. Counted in Redis, and in this process where Redis is away."""
    url = settings.redis_url
    limiter = Limiter(
        _caller,
        app=server,
        storage_uri=f"redis+{url}" if url.startswith("unix:") else url or "memory://",
        storage_options={"socket_connect_timeout": 1, "socket_timeout": 1} if url else {},
        in_memory_fallback_enabled=True,
        # they would cost each answer two trips to Redis more, and tell every caller to come back later
        headers_enabled=False,
        strategy="fixed-window",
        key_prefix="dlv",
    )

    def refused(_: RateLimitExceeded) -> Response:
        wait = 60
        with contextlib.suppress(Exception):  # Redis may be away by now
            if limiter.current_limit is not None:
                wait = max(1, limiter.current_limit.reset_at - int(time.time()))
        said = f"more than {settings.api_per_minute} calls in a minute"
        return api.errors.answer(Throttled(said, retry_after=wait, hint=f"wait {wait} s, or ask less often"))

    server.register_error_handler(RateLimitExceeded, refused)
    return limiter


def _caller() -> str:
    who = g.get("principal")
    return f"{who.kind}:{who.id}" if who else f"address:{g.remote_addr}"


def _note_request() -> None:
    said = request.headers.get("X-Request-ID", "")
    g.request_id = said if re.fullmatch(r"[A-Za-z0-9._-]{8,64}", said) else uuid.uuid4().hex
    g.remote_addr = request.remote_addr or ""


def _nothing_else_under_api(server: Flask) -> None:
    """Dash answers any GET with the application's page; under /api what does not exist is 404, and a method that
    does not exist is 405 with those that do.
    """

    def nothing(rest: str = "") -> Response:
        adapter = server.create_url_adapter(request)
        assert adapter is not None
        allowed = []
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            try:
                rule, _ = adapter.match(method=method, return_rule=True)
            except (NoSuchPath, MethodNotAllowed):
                continue
            if rule.endpoint.startswith(("api.", "api_")) and rule.endpoint != "api_nothing":
                allowed.append(method)
        if allowed:
            raise MethodNotAllowed(
                valid_methods=allowed,
                description=f"{request.method} does not exist here; {', '.join(allowed)} does",
            )
        raise NoSuchPath(description="there is nothing here; see /api/docs")

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    for rule in ("/api", "/api/", "/api/<path:rest>"):
        server.add_url_rule(rule, "api_nothing", nothing, methods=methods, provide_automatic_options=False)


class _Headers:
    """Security headers on every answer. The policy lets no inline script run but those whose hash Dash names.

    Styles may be inline: Mantine sets them on elements, and cytoscape positions its canvas with them.
    """

    def __init__(self, app: Dash, settings: Settings) -> None:
        self._app = app
        self._https = settings.secure_cookies
        self._known = -1
        self._policy = ""

    def __call__(self, response: Response) -> Response:
        headers = response.headers
        headers.setdefault("X-Request-ID", g.get("request_id", ""))
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("X-Frame-Options", "DENY")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        headers.setdefault(
            "Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        )
        headers.setdefault("Content-Security-Policy", self.policy())
        if self._https:
            headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR}")
        if request.path in ("/", "/_dash-layout", "/_dash-dependencies") or response.mimetype == "text/html":
            headers["Cache-Control"] = "no-store"
        return response

    def policy(self) -> str:
        app = self._app
        now = len(app._inline_scripts) + len(dash._callback.GLOBAL_INLINE_SCRIPTS)
        if now != self._known or not self._policy:
            self._policy = "; ".join(
                (
                    "default-src 'self'",
                    f"script-src 'self' {' '.join(app.csp_hashes())}",
                    "style-src 'self' 'unsafe-inline'",
                    "img-src 'self' data: blob:",
                    "font-src 'self' data:",
                    "connect-src 'self'",
                    "object-src 'none'",
                    "base-uri 'self'",
                    "form-action 'self'",
                    "frame-ancestors 'none'",
                )
            )
            self._known = now
        return self._policy
