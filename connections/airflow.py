"""Airflow 2 and 3 by REST. Which of the two it is shows by itself: 3 answers under /api/v2 and signs in by a token,
2 under /api/v1 with user and password on each call.
"""

from __future__ import annotations

from typing import Any

import requests

from connections import http, tls
from connections.kind import Field, Kind
from connections.ladder import Failed, Ladder
from connections.link import Link


class Airflow:
    """Airflow's REST interface, signed in. A context manager; ``major`` is 2 or 3, ``version`` what it says of itself."""

    def __init__(self, link: Link, timeout: float | None = None) -> None:
        """Finds the version; does not sign in yet. Raises what :func:`connections.http.session` raises."""
        self.link = link
        self.session = http.Session(link.guard, timeout or link.timeout, tls.context(link))
        self.version = ""
        self.major = 0
        self._find()

    def __enter__(self) -> Airflow:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def _find(self) -> None:
        for major, path in ((3, "api/v2/version"), (2, "api/v1/version")):
            try:
                said = http.get_json(self.session, http.url(self.link, path))
            except requests.HTTPError as e:
                if e.response.status_code in (401, 403):  # it is there, and wants to know who asks
                    self.major = major
                    return
                if e.response.status_code == 404:
                    continue
                raise
            except http.Unreadable:
                continue
            if isinstance(said, dict) and "version" in said:
                self.version, self.major = str(said["version"]), major
                return
        raise http.Unreadable(
            "what answers there is no Airflow", hint="name the address of Airflow's web server, e.g. https://airflow.example.com"
        )  # fmt: skip

    def sign_in(self) -> None:
        """Raises :class:`requests.HTTPError` where Airflow does not know who asks."""
        token = self.link.secret.get("token") if self.link.get("auth") == "token" else None
        user, password = str(self.link.get("username", "")), self.link.secret.get("password", "")
        if not token and self.major == 3:
            answer = self.session.post(
                http.url(self.link, "auth/token"), json={"username": user, "password": password}, allow_redirects=False
            )  # fmt: skip
            answer.raise_for_status()
            said = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
            token = said.get("access_token")
            if not token:
                raise http.Unreadable(
                    "Airflow gives no token for user and password",
                    hint="its auth manager may sign people in elsewhere: choose Token, and write one that it gave",
                )
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"
        else:
            self.session.auth = (user.encode(), password.encode())  # type: ignore[assignment]

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of ``path`` below /api/v1 or /api/v2, such as ``dags``."""
        root = "api/v2" if self.major == 3 else "api/v1"
        return http.get_json(
            self.session, http.url(self.link, f"{root}/{path.lstrip('/')}"), params=params or None
        )

    def health(self) -> dict[str, Any]:
        """Each component's state and newest heartbeat, as Airflow tells it; needs no sign-in."""
        path = "api/v2/monitor/health" if self.major == 3 else "api/v1/health"
        said = http.get_json(self.session, http.url(self.link, path))
        return said if isinstance(said, dict) else {}


def opened(link: Link) -> Airflow:
    """Airflow of this link, signed in: ``with airflow.opened(link) as a: a.get("dags", limit=100)``. Raises what requests
    raises, :class:`connections.http.Unreadable`, :class:`connections.guard.Refused`."""
    made = Airflow(link)
    try:
        made.sign_in()
    except BaseException:
        made.session.close()
        raise
    return made


def _climb(link: Link, ladder: Ladder) -> str:
    http.reach(link, ladder)
    with http.answering(ladder, "Airflow"):
        made = Airflow(link, ladder.left())
    with made:
        try:
            with ladder.step("sign-in"):
                made.sign_in()
        except requests.HTTPError as e:
            if e.response.status_code in (400, 401, 403, 422):
                raise Failed(
                    "sign-in", f"Airflow does not know this user and password ({e.response.status_code})", "check both; the role Viewer is enough"
                ) from None  # fmt: skip
            raise http.status_failed(e.response, "Airflow", "sign-in") from None
        with http.answering(ladder, "Airflow", "permission"):
            dags = made.get("dags", limit=1)
        if not made.version:
            with http.answering(ladder, "Airflow", "permission"):
                made.version = str(made.get("version").get("version", ""))
    total = dags.get("total_entries", 0) if isinstance(dags, dict) else 0
    return f"signed in to Airflow {made.version or made.major}; {total} DAGs to read"


_USER = ("auth", ("password",))

KINDS = (
    Kind(
        "airflow", "Airflow", "Airflow 2 and 3; which one it is shows by itself",
        (
            http.address(example="https://airflow.example.com", help="Of its web server (2) or API server (3)"),
            Field("auth", "Sign-in", "choice", default="password", choices=(("password", "User and password"), ("token", "Token"))),
            Field("username", "User", required=True, when=_USER, help="The role Viewer is enough"),
            Field("password", "Password", secret=True, required=True, when=_USER),
            Field("token", "Token", secret=True, required=True, when=("auth", ("token",)), help="A JWT that does not end soon"),
            *http.TLS,
        ),
        _climb, ("airflow",),
    ),
)  # fmt: skip
