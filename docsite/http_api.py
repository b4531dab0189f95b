"""The page of the HTTP interface, from the OpenAPI document that a service has at /openapi.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from prometheus_client import CollectorRegistry

from docsite.tables import cell, table
from store.service.app import create_app
from store.service.auth import scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.generations import Generations
    from store.service.endpoints import Forget

__all__ = ["http_api_page", "openapi_document", "schema_words"]

_HEAD = """# HTTP, request by request

[The retrieval service's interface](../retrieval-api.md) says what holds for all requests: formats,
errors, deadlines, tokens. This page is made from the OpenAPI document, which a running service has
at `/openapi.json`, and shows at `/docs`.

Every request may be answered with an error, of the model [ErrorResponse](#errorresponse).
"""


def openapi_document() -> dict[str, Any]:
    """As a service would answer."""
    # It is made of the endpoints' signatures: nothing is asked, so nothing is there to be asked.
    nobody = cast("Generations", None)
    nothing = cast("Forget", None)
    app = create_app(generations=nobody, forget=nothing, registry=CollectorRegistry())
    document: dict[str, Any] = app.openapi()
    return document


def http_api_page() -> str:
    """Markdown: each request, then each model."""
    document = openapi_document()
    parts = [_HEAD]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += _operation(method.upper(), path, operation)
    parts.append("## Models\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += [f"### {name}\n", *_model(schema)]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## {method} {path}\n"
    if "description" in operation:
        yield _code(operation["description"]) + "\n"
    scope = scope_of(method, path)
    yield (f"Scope: `{scope}`.\n" if scope else "Needs no token.\n")
    if parameters := operation.get("parameters"):
        rows = [
            (
                f"`{one['name']}`",
                one["in"],
                schema_words(one["schema"]),
                "required" if one["required"] else _default(one["schema"]),
                cell(_code(one.get("description", ""))),
            )
            for one in parameters
        ]
        yield table(("parameter", "in", "type", "default", "meaning"), rows)
    if body := operation.get("requestBody"):
        yield f"Body: {schema_words(body['content']['application/json']['schema'])}.\n"
    yield from _answers(operation["responses"])


def _answers(responses: dict[str, Any]) -> Iterator[str]:
    for status, answer in responses.items():
        kinds = {
            schema_words(one["schema"])
            for one in answer.get("content", {}).values()
            if "schema" in one
        } - {"[ErrorResponse](#errorresponse)"}
        if kinds or status.startswith("2"):
            words = (
                ""
                if answer["description"] == "Successful Response"
                else f", {answer['description']}"
            )
            yield f"Answer {status}{words}: {' or '.join(sorted(kinds))}.\n"


def _model(schema: dict[str, Any]) -> Iterator[str]:
    if "description" in schema:
        yield _code(schema["description"]) + "\n"
    required = schema.get("required", [])
    rows = [
        (
            f"`{name}`",
            schema_words(field),
            "always there" if name in required else _default(field),
            cell(_code(field.get("description", ""))),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    yield table(("field", "type", "default", "meaning"), rows)


def schema_words(schema: dict[str, Any]) -> str:
    """A JSON schema in words; models are linked."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(schema_words(one) for one in schema[key]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    return _plain(schema) + _bounds(schema)


def _plain(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {schema_words(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of text to {schema_words(schema['additionalProperties'])}"
    names = {
        "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
        "object": "map", "null": "null",
    }  # fmt: skip
    return names.get(kind, str(kind))


def _bounds(schema: dict[str, Any]) -> str:
    words = {
        "minimum": "≥ {}", "maximum": "≤ {}", "exclusiveMinimum": "> {}",
        "exclusiveMaximum": "< {}",
        "minLength": "at least {} long", "maxLength": "at most {} long",
        "minItems": "at least {}", "maxItems": "at most {}", "maxProperties": "at most {}",
    }  # fmt: skip
    found = [form.format(f"{schema[key]:,g}") for key, form in words.items() if key in schema]
    return f" ({', '.join(found)})" if found else ""


def _default(schema: dict[str, Any]) -> str:
    if schema.get("default") is None:
        return "none"
    value = schema["default"]
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _code(text: str) -> str:
    """Docstrings mark code by two backticks, as Markdown may."""
    return text.replace("``", "`")
