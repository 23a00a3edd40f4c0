"""REST resources, declared: path, who may call, what goes in, what comes out. One declaration serves the route, the
check of the role, the validation of the input, and OpenAPI.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import orjson
from flask import Flask, Response, current_app, g, request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

import auth
from answers.context import Dlv
from api.errors import invalid
from auth.roles import Need, check
from errors import DlvError, Invalid, Malformed
from store.audit import Actor

PREFIX = "/api/v1"


_TIME = TypeAdapter(datetime)


def _rfc3339(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if len(value) < 20 or value[4:5] != "-" or value[10:11] not in "Tt ":
        raise ValueError("must be a time such as 2026-11-23T20:15:00Z")
    try:
        # here and not by the field: what a validator hands on is no longer JSON, and a strict field takes no text
        return _TIME.validate_python(value)
    except ValidationError:
        raise ValueError("must be a time such as 2026-11-23T20:15:00Z") from None


def _zoned(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must say its zone, e.g. end in Z")
    return value


def _printable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold the character NUL")
    return value


#: a moment, with its zone
When = Annotated[
    datetime,
    BeforeValidator(_rfc3339),
    AfterValidator(_zoned),
]
Text = Annotated[str, AfterValidator(_printable)]


class Given(BaseModel):
    """Base of everything that comes in: unknown fields are refused by name, so that a typo is never ignored."""

    model_config = ConfigDict(extra="forbid", str_max_length=10_000)


class Out(BaseModel):
    """Base of everything that goes out; only describes (answers are not checked at run time)."""

    model_config = ConfigDict(extra="allow")


class PageQuery(Given):
    """Paging: ``cursor`` is ``next`` of the page before."""

    limit: int = Field(100, ge=1, le=1000, description="How many items at most")
    cursor: Text | None = Field(None, max_length=2000, description="`next` of the page before")


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page. ``next`` is null on the last."""

    items: list[T]
    next: str | None


class NoQuery(Given):
    pass


@dataclass(frozen=True)
class Call:
    """One call, checked: who asks may ask, and what came in has the declared shape."""

    dlv: Dlv
    principal: auth.Principal
    query: Any = None
    body: Any = None

    @property
    def actor(self) -> Actor:
        return auth.actor()


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str  # /nodes/{id}
    need: Need | None  # None: open, and then it stands in auth.gate.OPEN
    view: Callable[..., Any]
    query: type[BaseModel]
    body: Any  # a model, Any for whatever, None for no body
    returns: Any
    status: int
    tag: str
    etag: bool
    limited: bool
    raw: bool
    params: dict[str, Any] = field(default_factory=dict)
    media: str = "application/json"

    @property
    def name(self) -> str:
        return f"api.{self.tag}.{self.view.__name__}"

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.view) or self.view.__name__).splitlines()[0]

    @property
    def description(self) -> str:
        return inspect.getdoc(self.view) or ""


class Resource:
    """The endpoints of one noun. ``tag`` groups them in the docs."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.endpoints: list[Endpoint] = []

    def get(self, path: str, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return self._add("GET", path, **how)

    def post(self, path: str, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return self._add("POST", path, **how)

    def put(self, path: str, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return self._add("PUT", path, **how)

    def patch(self, path: str, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return self._add("PATCH", path, **how)

    def delete(self, path: str, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return self._add("DELETE", path, **how)

    def _add(
        self,
        method: str,
        path: str,
        *,
        need: Need | None,
        query: type[BaseModel] = NoQuery,
        body: Any = None,
        returns: Any = None,
        status: int = 200,
        etag: bool = False,
        limited: bool = True,
        raw: bool = False,
        media: str = "application/json",
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def declare(view: Callable[..., Any]) -> Callable[..., Any]:
            hints = inspect.get_annotations(view, eval_str=True)
            names = re.findall(r"\{(\w+)\}", path)
            self.endpoints.append(
                Endpoint(
                    method=method,
                    path=path,
                    need=need,
                    view=view,
                    query=query,
                    body=body,
                    returns=returns,
                    status=status,
                    tag=self.tag,
                    etag=etag,
                    limited=limited,
                    raw=raw,
                    params={name: hints.get(name, str) for name in names},
                    media=media,
                )
            )
            return view

        return declare

    def install(self, server: Flask, limit: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Add the routes. ``limit`` wraps what is limited per caller."""
        for endpoint in self.endpoints:
            rule = PREFIX + endpoint.path.replace("{", "<").replace("}", ">")
            view = _view(endpoint)
            server.add_url_rule(
                rule,
                endpoint.name,
                limit(view) if endpoint.limited else view,
                methods=[endpoint.method],
                provide_automatic_options=False,
            )


def _view(endpoint: Endpoint) -> Callable[..., Any]:
    """The Flask view of an endpoint: check who asks, read what came, call, write the answer."""
    adapters = {name: TypeAdapter(hint) for name, hint in endpoint.params.items()}

    @functools.wraps(endpoint.view)
    def view(**path: str) -> Response:
        who = check(endpoint.need, auth.principal()) if endpoint.need else None
        given = {name: _path_value(name, adapters[name], text) for name, text in path.items()}
        call = Call(
            dlv=current_app.extensions["dlv"],
            principal=who,  # type: ignore[arg-type]
            query=_query(endpoint.query),
            body=None if endpoint.raw or endpoint.body is None else _body(endpoint.body),
        )
        return respond(endpoint.view(call, **given), endpoint.status, etag=endpoint.etag)

    view.dlv_endpoint = endpoint  # type: ignore[attr-defined]
    return view


def respond(result: Any, status: int = 200, *, etag: bool = False) -> Response:
    """What a view returned, as a response: a Response as it is, (body, status), a body, or None for 204."""
    if isinstance(result, Response):
        return result
    headers: dict[str, str] = {}
    if isinstance(result, tuple):
        result, status, *rest = result
        headers = rest[0] if rest else {}
    if result is None:
        return Response(status=204 if status == 200 else status, headers=headers)
    content = to_json(result)
    response = Response(content, status, headers, content_type="application/json")
    response.headers.setdefault("Cache-Control", "private, no-cache" if etag else "no-store")
    if etag:
        response.set_etag(hashlib.blake2b(content, digest_size=12).hexdigest(), weak=True)
        response.make_conditional(request)
    return response


def to_json(value: Any) -> bytes:
    """JSON as the API writes it: times in UTC with Z, ids as strings."""
    return orjson.dumps(
        value, default=_other, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
    )


def _other(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _path_value(name: str, adapter: TypeAdapter[Any], text: str) -> Any:
    if "\x00" in text:
        raise Invalid(f"{name}: must not hold the character NUL", field=name)
    try:
        return adapter.validate_python(text)
    except ValidationError as e:
        raise invalid(e, name) from None


def _query(model: type[BaseModel]) -> Any:
    values: dict[str, Any] = {}
    for name, given in request.args.lists():
        known = model.model_fields.get(name)
        if any("\x00" in one for one in given):
            raise Invalid(f"{name}: must not hold the character NUL", field=name)
        if known is not None and _is_list(known.annotation):
            values[name] = given
        elif len(given) > 1:
            raise Invalid(f"{name} is given {len(given)} times", field=name, hint="give it once")
        else:
            values[name] = given[0]
    try:
        return model.model_validate(values)
    except ValidationError as e:
        raise invalid(e) from None


def _is_list(annotation: Any) -> bool:
    text = str(annotation)
    return text.startswith(("list[", "tuple[", "typing.List", "set["))


def _body(model: Any) -> Any:
    media = request.mimetype
    if media and media != "application/json" and not media.endswith("+json"):
        raise UnsupportedMedia(
            f"the body is {media}, not JSON", field="Content-Type", hint="send Content-Type: application/json"
        )
    raw = request.get_data()
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise Malformed(
            f"the body is not JSON: {e.msg} at line {e.lineno} column {e.colno}", field="body"
        ) from None
    if model is Any:
        return said
    if _has_nul(said):
        raise Invalid("the body must not hold the character NUL", field="body")
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as e:
        raise invalid(e) from None


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(k) or _has_nul(v) for k, v in value.items())
    return isinstance(value, list) and any(_has_nul(v) for v in value)


class UnsupportedMedia(DlvError):
    code = "unsupported_media_type"
    status = 415


def if_match() -> int | None:
    """The version in If-Match (``"3"``, ``3`` or ``W/"3"``); None where the header is absent or ``*``."""
    text = request.headers.get("If-Match", "").strip()
    if not text or text == "*":
        return None
    digits = text.removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise Invalid(
            f"If-Match is {text[:40]!r}, not a version",
            field="If-Match",
            hint="send the `version` that you read",
        )
    return int(digits)


def remote_addr() -> str:
    addr: str = g.get("remote_addr", "")
    return addr
