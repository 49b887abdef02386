"""References inside a JSON schema."""

from collections.abc import Mapping
from typing import Any

from baton.core.errors import RequestError

_MOST = 32  # references one behind the other


def resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """What `schema` is once a `$ref` that is all it has is followed into `root`. Raises
    RequestError for one that leads nowhere, elsewhere or round in a circle.
    """
    for _ in range(_MOST):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        schema = _target(schema["$ref"], root)
    raise RequestError(f"the schema's references go round in a circle: {schema.get('$ref')!r}")


def _target(reference: object, root: Mapping[str, Any]) -> Any:
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise RequestError(f"the reference {reference!r} must lead into the schema: #/...")
    found: Any = root
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            raise RequestError(f"the reference {reference!r} leads nowhere in the schema")
    return found


def with_definitions(schema: Any, root: Mapping[str, Any]) -> Any:
    """A part of `root` that can stand alone, its references meaning what they meant."""
    if not isinstance(schema, Mapping):
        return schema
    shared = {key: root[key] for key in ("$defs", "definitions") if key in root}
    return {**shared, **schema}
