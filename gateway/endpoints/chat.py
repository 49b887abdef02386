"""POST /v1/chat/completions"""

from fastapi import Request, Response

from gateway.caller import caller_of
from gateway.intake import Intake
from gateway.schema.chat import ChatCompletionRequest


class ChatEndpoint:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, request: Request) -> Response:
        asked, model = await self._intake.read(ChatCompletionRequest, request)
        return await model.chat.reply(asked, caller_of(request), request.receive)
