"""Errors of the chat inside, told by the names of the fields outside."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from baton.core.errors import NotFoundError, RequestError


@contextmanager
def told_as(names: Mapping[str, str]) -> Iterator[None]:
    """`names`: field of the chat -> field of the API that was asked; others keep theirs."""
    try:
        yield
    except NotFoundError:
        raise
    except RequestError as error:
        outer = names.get(error.param or "")
        if error.param is None or outer is None:
            raise
        raise RequestError(_renamed(str(error), error.param, outer), outer) from error


def _renamed(message: str, inner: str, outer: str) -> str:
    """A path below the field is the chat's own: it does not say where outside."""
    return re.sub(rf"\b{re.escape(inner)}\b(\.\w+)*", lambda _: outer, message)
