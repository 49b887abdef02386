"""Bytes of a body -> a checked request of an API beside chat."""

from collections.abc import Set
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from baton.core.errors import RequestError
from gateway.schema.parse import named, object_of

B = TypeVar("B", bound=BaseModel)


def read(kind: type[B], refused: Set[str], body: bytes) -> B:
    """Raises RequestError that names the field; `refused` are known ones that never act."""
    fields = object_of(body)
    for name in refused & fields.keys():
        if fields[name] is not None:
            raise RequestError(f"{name!r} is not supported", name)
    try:
        request = kind.model_validate(fields)
    except ValidationError as error:
        raise named(error) from error
    if fields.get("stream_options") and not fields.get("stream"):
        raise RequestError("stream_options is only allowed with stream", "stream_options")
    return request
