"""The REST API under /api/v1: one declaration an endpoint, one error shape, OpenAPI 3.1 made from the declarations.

To add a resource, make ``api/NOUN.py``; :func:`api.install` finds it by its name, nothing else is edited::

    from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, if_match
    from auth.roles import ADMIN, READER

    resource = Resource("nodes")                    # the tag in the docs

    class NodeQuery(PageQuery):                     # limit and cursor come with it
        kind: list[Text] = []                       # a list may be given several times

    @resource.get("/nodes", need=READER, query=NodeQuery, returns=Page[NodeOut], etag=True)
    def nodes(call: Call) -> dict:
        \"\"\"Nodes by filter (the first line is the summary).\"\"\"
        return answers.nodes.page(call.dlv, call.query, call.query.limit, call.query.cursor)

    @resource.patch("/nodes/{id}", need=ADMIN, body=NodeChange, returns=NodeOut)
    def edit(call: Call, id: UUID) -> dict:
        return store.nodes.edit(conn, call.actor, id, call.body.model_dump(exclude_unset=True), if_match())

- ``need`` must be said: READER, RESPONDER, ADMIN (a key with scope ``read`` or ``write`` counts too), ADMIN_PERSON,
  PERSON (people only), LINEAGE. ``need=None`` is open, and only works if the path also stands in auth.gate.OPEN
  or OPEN_BY_TOKEN.
- ``query`` and ``body`` are pydantic models derived from :class:`api.resource.Given`: unknown fields are refused.
  Types are strict in bodies. Use ``Text`` for strings, ``When`` for times, ``UUID`` in the view's signature for path
  parameters.
- A view returns a body (status as declared, 200), ``(body, status)``, ``(body, status, headers)``, None (204) or a
  flask Response. Datetimes, UUIDs and sets are written as the API writes them.
- Errors: raise one of errors.py. Never build error JSON.
- Paging: answers.cursor makes opaque cursors; answer ``{"items": [...], "next": cursor or None}``.
- ``etag=True`` on what is polled: an unchanged answer is 304.
- Every endpoint is limited per caller, except ``limited=False`` (lineage).
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

from flask import Flask

from api.resource import Endpoint, Resource


def resources() -> list[Resource]:
    """The ``resource`` of every module of this package, in the order of their names."""
    found = []
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        resource = getattr(import_module(f"api.{module}"), "resource", None)
        if isinstance(resource, Resource):
            found.append(resource)
    return found


def install(server: Flask, limit: Callable[[Callable[..., Any]], Callable[..., Any]]) -> list[Endpoint]:
    """Add all routes to the server; returns the endpoints."""
    endpoints = []
    for resource in resources():
        resource.install(server, limit)
        endpoints += resource.endpoints
    return endpoints
