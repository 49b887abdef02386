"""What is known of the server before the first request: the model, its length, ids that may be sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from baton.cluster.api_client import ApiClient
from baton.cluster.http_stream import ServerError, asked
from baton.core.errors import UnavailableError

_WORDS = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work number night "
    "point home water room mother area money story fact month lot right study book eye job word"
)


@dataclass(frozen=True, slots=True)
class Target:
    client: ApiClient
    model: str
    max_model_len: int | None  # prompt and answer, tokens; None: the server does not say
    vocabulary: Sequence[int]  # ids of ordinary words


async def met(client: ApiClient, model: str | None, token_ids: tuple[int, int] | None) -> Target:
    """`token_ids`: the ids from the first up to, not including, the second; else the server is
    asked how it tokenises some words. Raises UnavailableError with a sentence.
    """
    try:
        card = _card(await _json(client, "GET", "/v1/models"), model)
        name, length = str(card["id"]), card.get("max_model_len")
        ids = range(*token_ids) if token_ids else await _ids_of_words(client, name)
    except OSError as error:
        reason = error.strerror or error
        raise UnavailableError(f"no server answers at {client.url}: {reason}") from error
    return Target(client, name, length if isinstance(length, int) else None, ids)


def _card(listed: Any, model: str | None) -> dict[str, Any]:
    try:
        cards = {str(card["id"]): card for card in listed["data"]}
        first = next(iter(cards))
    except (LookupError, TypeError, StopIteration) as error:
        raise UnavailableError("the server lists no model in /v1/models") from error
    if model is not None and model not in cards:
        raise UnavailableError(f"there is no model {model}; served: {', '.join(cards)}")
    return dict(cards[model or first])


async def _ids_of_words(client: ApiClient, model: str) -> list[int]:
    body = {"model": model, "prompt": _WORDS, "add_special_tokens": False}
    try:
        tokens = (await _json(client, "POST", "/tokenize", body))["tokens"]
        ids = sorted({int(token) for token in tokens})
    except (ServerError, LookupError, TypeError, ValueError) as error:
        raise UnavailableError(
            f"the server does not tokenise for us ({error}): name ids that prompts may hold with "
            "--token-ids LOW HIGH"
        ) from error
    return ids


async def _json(
    client: ApiClient, method: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    payload = None if body is None else json.dumps(body).encode()
    async with asked(client, method, path, payload) as answer:
        if answer.status != 200:
            raise ServerError(f"{path} answers {await answer.reason()}")
        text = b"\n".join([line async for line in answer.lines])
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnavailableError(f"{path} of {client.url} answers no JSON") from error
