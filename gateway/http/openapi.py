"""What /openapi.json says. Endpoints read their bodies by themselves, so it is put together here."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from baton import __version__
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.completion import CompletionRequest
from gateway.schema.error import AnthropicErrorBody, ErrorBody
from gateway.schema.messages import CountTokensRequest, MessagesRequest
from gateway.schema.responses import ResponsesRequest
from gateway.schema.tokenization import DetokenizeRequest, TokenizeRequest
from gateway.translations.messages_error import COUNT_PATH, PATH, is_anthropic

BODIES: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatCompletionRequest,
    "/v1/completions": CompletionRequest,
    "/v1/responses": ResponsesRequest,
    PATH: MessagesRequest,
    COUNT_PATH: CountTokensRequest,
    "/tokenize": TokenizeRequest,
    "/detokenize": DetokenizeRequest,
}
REFERENCE = "#/components/schemas/{model}"
DESCRIPTION = (
    "OpenAI's API, and Anthropic's messages. A field that it does not know, or that the model's chat "
    "template does not read, is accepted and named in the header "
    "`x-baton-ignored` (with `--strict-fields` it is a 400). A field that this version knows but "
    "does not act on is a 400 with its name."
)


def describe(app: FastAPI) -> None:
    """Makes `app.openapi()` complete; it is built at the first use."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="Baton", version=__version__, description=DESCRIPTION, routes=app.routes
    )
    kinds: list[type[BaseModel]] = [*BODIES.values(), ErrorBody, AnthropicErrorBody]
    _, schemas = models_json_schema(
        [(kind, "validation") for kind in kinds], ref_template=REFERENCE
    )
    document["components"] = {"schemas": schemas["$defs"]}
    for path, kind in BODIES.items():
        operation = document["paths"][path]["post"]
        operation["requestBody"] = {"required": True, "content": _json(kind.__name__)}
        if "stream" in kind.model_fields:
            operation["responses"]["200"]["content"]["text/event-stream"] = {
                "schema": {"type": "string"}
            }
    for path, operations in document["paths"].items():
        error = AnthropicErrorBody if is_anthropic(path) else ErrorBody
        for operation in operations.values():
            operation["responses"].pop("422", None)  # FastAPI's own, which we never send
            operation["responses"]["default"] = {
                "description": "Refused or failed",
                "content": _json(error.__name__),
            }
    return document


def _json(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REFERENCE.format(model=model)}}}
