"""POST /tokenize and /detokenize, GET /tokenizer_info"""

import asyncio
from dataclasses import replace

from fastapi import Request, Response
from starlette.types import Receive

from gateway.chat_prompt import ChatPrompts
from gateway.limits import Limits, check_ids
from gateway.preparation import Preparation
from gateway.replies import JsonReply
from gateway.schema.tokenization import DetokenizeRequest, TokenizeRequest
from gateway.tokenizer import ChatTokenizer
from gateway.truncation import kept_tokens

ROOM = 16  # a text may be so many times longer than what the model takes, to learn how much


class TokenizationEndpoint:
    def __init__(
        self, preparation: Preparation, tokenizer: ChatTokenizer, prompts: ChatPrompts
    ) -> None:
        self._preparation = preparation
        self._tokenizer = tokenizer
        self._prompts = prompts

    async def tokenize(self, request: Request) -> Response:
        asked = await self._preparation.read(TokenizeRequest, request)
        tokens, unread, limits = await self._tokens(asked, request.receive)
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
        self, asked: TokenizeRequest, receive: Receive
    ) -> tuple[list[int], tuple[str, ...], Limits]:
        """And the fields that the template does not read."""
        if asked.messages is not None:
            prompt = await self._prompts.of_messages(asked.messages, asked, receive, room=ROOM)
            return prompt.ids, prompt.rendering.unread, prompt.limits
        limits = await self._preparation.limits(receive)
        kept = kept_tokens(asked, limits, None)
        roomy = replace(limits, max_model_len=limits.max_model_len * ROOM)
        special = asked.add_special_tokens is not False
        [tokens] = await self._tokenizer.tokens_of([asked.prompt or ""], roomy, special, kept)
        return tokens, (), limits
