"""OpenAPI 3.1 and the docs page, both made from the declared endpoints."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask, Response, render_template_string
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from api.resource import PREFIX, Endpoint, to_json
from auth.roles import READER, check, principal

_REF = "#/components/schemas/{model}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {
                "code": {"type": "string", "description": "Stable and machine-readable"},
                "message": {"type": "string"},
                "field": {"type": "string", "description": "What part of the input it is about"},
                "hint": {"type": "string", "description": "The way out"},
                "request_id": {"type": "string"},
                "changes": {
                    "type": "object",
                    "description": "412 only: {field: {yours, theirs}}",
                    "additionalProperties": True,
                },
                "version": {"type": "integer", "description": "412 only: the stored version"},
            },
        }
    },
}
_WORDS = {200: "The answer", 201: "Made", 202: "Accepted", 204: "Done", 304: "Unchanged"}


def install(server: Flask, endpoints: list[Endpoint]) -> None:
    """Serve ``/api/v1/openapi.json`` and ``/api/docs``."""
    document = spec(endpoints)
    text = to_json(document)

    def openapi() -> Response:
        check(READER, principal())
        return Response(text, content_type="application/json", headers={"Cache-Control": "private, no-cache"})

    def docs() -> str:
        check(READER, principal())
        return render_template_string(_DOCS, spec=document, groups=_groups(document), shown=_shown)

    options: dict[str, Any] = {"methods": ["GET"], "provide_automatic_options": False}
    server.add_url_rule(f"{PREFIX}/openapi.json", "api.openapi", openapi, **options)
    server.add_url_rule("/api/docs", "api.docs", docs, **options)


def spec(endpoints: list[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        path = paths.setdefault(PREFIX + endpoint.path, {})
        path[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DLV",
            "version": "1",
            "description": "Data lineage and pipeline health. Everything the pages do. Times are ISO 8601 in UTC.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"cookie": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(e.tag for e in endpoints)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (dlv_...), or an access token from /api/v1/auth/login",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "dlv_session",
                    "description": "Of somebody signed in on the page; writes also need X-CSRFToken",
                },
            },
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W", "_", endpoint.name.removeprefix("api.")),
        "tags": [endpoint.tag],
        "summary": endpoint.summary.rstrip("."),
        "description": f"{endpoint.description}\n\nNeeds: {endpoint.need.words if endpoint.need else 'nothing'}.",
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.need is None:
        operation["security"] = []
    elif endpoint.need.scope == "lineage:write":
        operation["security"] = [{"bearer": []}]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _schema(hint, schemas)}
        for name, hint in endpoint.params.items()
    ]
    parameters += _query_parameters(endpoint.query, schemas)
    if endpoint.method in ("PATCH", "PUT") and "version" in endpoint.description.lower():
        parameters.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": False,
                "description": "The `version` that was read; 412 where somebody else was faster",
                "schema": {"type": "string", "pattern": r'^(W/)?"?[0-9]{1,9}"?$'},
            }
        )
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        schema: Any = {} if endpoint.body is Any else _schema(endpoint.body, schemas)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _responses(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": _WORDS.get(endpoint.status, "The answer")}
    if endpoint.returns is not None:
        good["content"] = {"application/json": {"schema": _schema(endpoint.returns, schemas)}}
    elif endpoint.media != "application/json":
        good["content"] = {endpoint.media: {"schema": {"type": "string"}}}
    responses = {str(endpoint.status): good}
    if endpoint.etag:
        responses["304"] = {"description": _WORDS[304]}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for status, words in _errors(endpoint):
        responses[str(status)] = {"description": words, "content": error}
    responses["default"] = {"description": "Any other error", "content": error}
    return responses


def _errors(endpoint: Endpoint) -> list[tuple[int, str]]:
    said = [(401, "Not signed in, or the key is not good"), (403, "Signed in, but not allowed")]
    if endpoint.params:
        said.append((404, "There is no such thing"))
    if endpoint.body is not None:
        said += [(400, "The body cannot be read"), (413, "The body is too large")]
    if not endpoint.raw:
        said.append((422, "The input is wrong; `field` says where"))
    if endpoint.limited:
        said.append((429, "Too many calls; see Retry-After"))
    return [*said, (503, "A part of DLV is away; see Retry-After")]


def _query_parameters(model: type[BaseModel], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if not model.model_fields:
        return []
    schema = _generate(TypeAdapter(model), schemas, "validation")
    parameters = []
    for name, said in schema.get("properties", {}).items():
        said = dict(said)
        options = said.get("anyOf")
        if options and {"type": "null"} in options:  # absent, rather than null
            rest = [o for o in options if o != {"type": "null"}]
            said.pop("anyOf")
            said.pop("default", None)
            said |= rest[0] if len(rest) == 1 else {"anyOf": rest}
        said.pop("title", None)
        parameter = {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "schema": said,
        }
        if "description" in said:
            parameter["description"] = said.pop("description")
        if said.get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        parameters.append(parameter)
    return parameters


class _Schemas(GenerateJsonSchema):
    """Without pydantic's titles, which say what the field's name says."""

    def get_title_from_name(self, name: str) -> str:
        return ""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schema(type_: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    mode = "validation"
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    made = _generate(adapter, schemas, mode)
    if isinstance(type_, type) and issubclass(type_, BaseModel):
        name = re.sub(r"\W+", "_", type_.__name__).strip("_")
        schemas[name] = made
        return {"$ref": _REF.format(model=name)}
    return made


def _generate(adapter: TypeAdapter[Any], schemas: dict[str, Any], mode: Any) -> dict[str, Any]:
    made = adapter.json_schema(ref_template=_REF, mode=mode, schema_generator=_Schemas)
    for name, definition in made.pop("$defs", {}).items():
        schemas[name] = definition
    return made


def _groups(document: dict[str, Any]) -> list[tuple[str, list[tuple[str, str, dict[str, Any]]]]]:
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    return list(groups.items())


def _shown(value: Any) -> str:
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>API · DLV</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="/_favicon.ico"><link rel="stylesheet" href="/assets/api-docs.css"></head>
<body class="api-docs"><header><h1>DLV API</h1>
<p>{{ spec.info.description }} <a href="/api/v1/openapi.json">OpenAPI 3.1 document</a> · <a href="/">Back to DLV</a></p>
<nav aria-label="Resources">{% for tag, _ in groups %}<a href="#{{ tag }}">{{ tag }}</a> {% endfor %}</nav></header>
<main>
<section><h2>Signing in</h2><p>Send <code>Authorization: Bearer</code> with an API key (<code>dlv_…</code>), or with the access token of
<code>POST /api/v1/auth/login</code>. Errors are <code>{"error": {"code", "message", "field"?, "hint"?, "request_id"}}</code>. Lists are
<code>{"items", "next"}</code>: hand <code>next</code> back as <code>cursor</code>.</p></section>
{% for tag, operations in groups %}<section id="{{ tag }}"><h2>{{ tag }}</h2>
{% for method, path, op in operations %}<details id="{{ op.operationId }}"><summary><span class="method {{ method|lower }}">{{ method }}</span>
<code>{{ path }}</code> <span>{{ op.summary }}</span></summary>
<p class="text">{{ op.description }}</p>
{% if op.parameters %}<table><caption>Parameters</caption><thead><tr><th scope="col">name</th><th scope="col">in</th><th scope="col">type</th><th scope="col">what</th></tr></thead>
<tbody>{% for p in op.parameters %}<tr><td><code>{{ p.name }}</code>{% if p.required %} *{% endif %}</td><td>{{ p.in }}</td>
<td><code>{{ p.schema.type or p.schema.format or '' }}{% if p.schema.enum %} {{ p.schema.enum|join(' | ') }}{% endif %}</code></td><td>{{ p.description or '' }}</td></tr>{% endfor %}</tbody></table>{% endif %}
{% if op.requestBody %}<h3>Body</h3><pre tabindex="0">{{ shown(op.requestBody.content['application/json'].schema) }}</pre>{% endif %}
<h3>Answers</h3><ul>{% for status, r in op.responses.items() %}<li><code>{{ status }}</code> {{ r.description }}</li>{% endfor %}</ul>
{% for status, r in op.responses.items() if status.startswith('2') and r.content and r.content['application/json'] %}<pre tabindex="0">{{ shown(r.content['application/json'].schema) }}</pre>{% endfor %}
</details>{% endfor %}</section>{% endfor %}
<section id="schemas"><h2>Schemas</h2>{% for name, schema in spec.components.schemas.items() %}<details id="schema-{{ name }}"><summary><code>{{ name }}</code></summary><pre tabindex="0">{{ shown(schema) }}</pre></details>{% endfor %}</section>
</main></body></html>"""
