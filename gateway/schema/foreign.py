"""Keys of a checked body that its schema does not have."""

from collections.abc import Iterator

from pydantic import BaseModel


def foreign_keys(body: BaseModel) -> list[str]:
    """With the path for nested ones, each once. The body's own top-level ones are not among them."""
    names = (name for field in type(body).model_fields for name in _below(body, field, ""))
    return list(dict.fromkeys(names))


def _keys(value: object, path: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (path + name for name in value.model_extra or ())
        for field in type(value).model_fields:
            yield from _below(value, field, path)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item, path)


def _below(model: BaseModel, field: str, path: str) -> Iterator[str]:
    return _keys(getattr(model, field), f"{path}{field}.")
