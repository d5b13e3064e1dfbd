"""The API's own description: what FastAPI derives from the routes, and every refusal that a route may give.

All refusals are problem documents (RFC 9457). Most follow from whom a route lets in and what it takes;
what only one route says, it declares itself: `responses={428: {"description": "..."}}`.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from definitions.problems import Problem

GUARD = "x-opsgate-guard"
"""Where an operation says whom it lets in; `agent_api.guarded` puts it there."""

_DOCUMENT = "ProblemDocument"
_REFERENCE = "#/components/schemas/{model}"
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")
"""How FastAPI by itself would describe a malformed request; ours are problem documents."""


class ProblemDocument(BaseModel):
    """Why a request was refused, or could not be answered."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    problems: list[Problem] = []
    """With a document or a request that is not well formed: each thing that is wrong."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document; made at the first call."""
    found: dict[str, Any] | None = getattr(app.state, "description", None)
    if found is None:
        found = app.state.description = _described(app.openapi())
    return found


def _described(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _OF_FASTAPI:
        schemas.pop(name, None)
    own = ProblemDocument.model_json_schema(ref_template=_REFERENCE)
    schemas.update(own.pop("$defs"))
    schemas[_DOCUMENT] = own
    for operations in document["paths"].values():
        for method, operation in operations.items():
            _declare_refusals(method, operation)
    return document


def _declare_refusals(method: str, operation: dict[str, Any]) -> None:
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)
    declared = {int(status) for status in responses if status.isdigit()}
    for status in sorted(declared | _refusals(method, operation)):
        if status >= 400 and "content" not in (response := responses.setdefault(str(status), {})):
            response.setdefault("description", HTTPStatus(status).phrase)
            schema = {"$ref": _REFERENCE.format(model=_DOCUMENT)}
            response["content"] = {"application/problem+json": {"schema": schema}}


def _refusals(method: str, operation: dict[str, Any]) -> set[int]:
    """What any operation of this form may answer when it refuses."""
    found = {422, 503}
    if not operation[GUARD].startswith("public"):
        found |= {401, 403}
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
        found.add(404)
    if method != "get":
        found.add(409)
    if "requestBody" in operation:
        found |= {400, 413}
    return found
