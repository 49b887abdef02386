"""Bytes of a body -> a checked request, or a RequestError that names the field."""

import re
from codecs import BOM_UTF8
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from baton.core.errors import RequestError
from gateway.schema.common import GenerationRequest, ModelRequest
from gateway.schema.fields import DANGEROUS

R = TypeVar("R", bound=ModelRequest)

PREFIX = "Value error, "  # pydantic's, before the text of a ValueError
CLASS = re.compile(" or instance of .*")  # likewise: of no use to who writes JSON


def parse(kind: type[R], body: bytes) -> R:
    return checked(kind, object_of(body))


def checked(kind: type[R], fields: dict[str, object]) -> R:
    _refuse_later_fields(kind, fields)
    try:
        request = kind.model_validate(fields)
    except ValidationError as error:
        raise named(error) from error
    _check_together(request, fields)
    return request


def refuse_unknown(names: list[str]) -> None:
    """For --strict-fields."""
    if names:
        raise RequestError(f"{names[0]!r} is not a field of this API", names[0])


def object_of(body: bytes) -> dict[str, object]:
    """The keys are needed before validation: which of them are refused outright. Files that were
    written on Windows like to begin with a mark of their encoding.
    """
    try:
        fields = from_json(body.removeprefix(BOM_UTF8), cache_strings=False)
    except ValueError as error:
        hint = "; is it half a surrogate pair?" if "hex escape" in str(error) else ""
        raise RequestError(f"the body is not valid JSON: {error}{hint}") from error
    if not isinstance(fields, dict):
        raise RequestError("the body must be a JSON object")
    return fields


def _refuse_later_fields(kind: type[ModelRequest], fields: dict[str, object]) -> None:
    for name, value in fields.items():
        if name in kind.elsewhere and value is not None:
            raise RequestError(f"{name!r} is not a field of this endpoint", name)
        if name in DANGEROUS and name not in kind.model_fields and value is not None:
            raise RequestError(f"{name!r} is not supported by this version", name)


def named(error: ValidationError) -> RequestError:
    """The first complaint as one sentence; param is the top-level field."""
    detail: ErrorDetails = error.errors(include_url=False, include_context=False)[0]
    path = _path(detail["loc"])
    param = str(detail["loc"][0]) if detail["loc"] else None
    message = CLASS.sub("", detail["msg"].removeprefix(PREFIX))
    return RequestError(f"{path}: {message}" if path else message, param)


def _path(places: tuple[int | str, ...]) -> str:
    """Without the kinds of a union, which pydantic counts among the places."""
    kinds = {"str", "int", "model"}
    kept = [p for p in places if isinstance(p, int) or ("[" not in p and p not in kinds)]
    return ".".join(str(place) for place in kept)


def _check_together(request: ModelRequest, fields: dict[str, object]) -> None:
    request.check()
    if not isinstance(request, GenerationRequest):
        return
    if fields.get("stream_options") and not request.stream:
        raise RequestError("stream_options is only allowed with stream", "stream_options")
