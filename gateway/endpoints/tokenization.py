"""POST /tokenize and /detokenize, GET /tokenizer_info"""

import asyncio

from fastapi import Request, Response

from gateway.limits import Limits, check_ids
from gateway.preparation import Preparation
from gateway.rendering import RenderingRules
from gateway.replies import JsonReply
from gateway.schema.tokenization import DetokenizeRequest, TokenizeRequest
from gateway.tokenizer import ChatTokenizer
from gateway.truncation import kept_tokens

ROOM = 16  # a text may be so many times longer than what the model takes, to learn how much


class TokenizationEndpoint:
    def __init__(
        self, preparation: Preparation, tokenizer: ChatTokenizer, rules: RenderingRules
    ) -> None:
        self._preparation = preparation
        self._tokenizer = tokenizer
        self._rules = rules

    async def tokenize(self, request: Request) -> Response:
        asked = await self._preparation.read(TokenizeRequest, request)
        limits = await self._preparation.limits(request.receive)
        tokens, unread = await self._tokens(asked, limits)
        spelled = None
        if asked.return_token_strs:
            spelled = await asyncio.to_thread(self._tokenizer.pieces_of, tokens)
        body = {
            "count": len(tokens),
            "max_model_len": limits.max_model_len,
            "tokens": tokens,
            "token_strs": spelled,
        }
        return JsonReply(body, headers=self._preparation.headers(asked, unread))

    async def detokenize(self, request: Request) -> Response:
        asked = await self._preparation.read(DetokenizeRequest, request)
        check_ids(asked.tokens, self._preparation.vocab_size, "tokens")
        text = await asyncio.to_thread(self._tokenizer.text_of, asked.tokens)
        return JsonReply({"prompt": text}, headers=self._preparation.headers(asked))

    async def info(self) -> Response:
        return JsonReply(self._tokenizer.info())

    async def _tokens(
        self, asked: TokenizeRequest, limits: Limits
    ) -> tuple[list[int], tuple[str, ...]]:
        """And the fields that the template does not read."""
        kept = kept_tokens(asked, limits, None)
        roomy = Limits(limits.max_model_len * ROOM, limits.vocab_size)
        if asked.messages is not None:
            rendering = self._rules.rendering(asked.messages, asked, asked)
            tokens = await self._tokenizer.prompt_of(asked.messages, roomy, rendering, kept)
            return tokens, rendering.unread
        special = asked.add_special_tokens is not False
        [tokens] = await self._tokenizer.tokens_of([asked.prompt or ""], roomy, special, kept)
        return tokens, ()
