"""POST /tokenize and /detokenize, GET /tokenizer_info"""

import asyncio
from dataclasses import replace

from fastapi import Request, Response
from starlette.types import Receive

from gateway.http.replies import JsonReply
from gateway.intake import Intake
from gateway.limits import Limits, check_ids
from gateway.models.served_model import ServedModel
from gateway.models.served_models import ServedModels
from gateway.prompts.truncation import kept_tokens
from gateway.schema.tokenization import DetokenizeRequest, TokenizeRequest

ROOM = 16  # a text may be so many times longer than what the model takes, to learn how much


class TokenizationEndpoint:
    def __init__(self, intake: Intake, models: ServedModels) -> None:
        self._intake = intake
        self._models = models

    async def tokenize(self, request: Request) -> Response:
        asked, model = await self._intake.read(TokenizeRequest, request)
        tokens, unread, limits = await _tokens(asked, model, request.receive)
        spelled = None
        if asked.return_token_strs:
            spelled = await asyncio.to_thread(model.tokenizer.pieces_of, tokens)
        body = {
            "count": len(tokens),
            "max_model_len": limits.max_model_len,
            "tokens": tokens,
            "token_strs": spelled,
        }
        return JsonReply(body, headers=model.preparation.headers(asked, unread))

    async def detokenize(self, request: Request) -> Response:
        asked, model = await self._intake.read(DetokenizeRequest, request)
        check_ids(asked.tokens, model.preparation.vocab_size, "tokens")
        text = await asyncio.to_thread(model.tokenizer.text_of, asked.tokens)
        return JsonReply({"prompt": text}, headers=model.preparation.headers(asked))

    async def info(self, model: str = "") -> Response:
        """`model`: whose, by one of its names."""
        return JsonReply(self._models.named(model).tokenizer.info())


async def _tokens(
    asked: TokenizeRequest, model: ServedModel, receive: Receive
) -> tuple[list[int], tuple[str, ...], Limits]:
    """And the fields that the template does not read."""
    if asked.messages is not None:
        prompt = await model.prompts.of_messages(asked.messages, asked, receive, room=ROOM)
        return prompt.ids, prompt.rendering.unread, prompt.limits
    limits = await model.preparation.limits(receive)
    kept = kept_tokens(asked, limits, None)
    roomy = replace(limits, max_model_len=limits.max_model_len * ROOM)
    special = asked.add_special_tokens is not False
    [tokens] = await model.tokenizer.tokens_of([asked.prompt or ""], roomy, special, kept)
    return tokens, (), limits
