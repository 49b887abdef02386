"""POST /v1/chat/completions"""

from collections.abc import Sequence

from fastapi import Request, Response

from gateway.caller import caller_of
from gateway.chat_format import ChatStream, chat_object
from gateway.chat_prompt import ChatPrompts
from gateway.delivery import Delivery
from gateway.json_text import to_json
from gateway.preparation import Preparation
from gateway.replies import JsonReply
from gateway.request_log import RequestLog, logged
from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.message import Message


class ChatEndpoint:
    def __init__(
        self,
        preparation: Preparation,
        prompts: ChatPrompts,
        delivery: Delivery,
        log: RequestLog,
    ) -> None:
        self._preparation = preparation
        self._prompts = prompts
        self._delivery = delivery
        self._log = log

    async def __call__(self, request: Request) -> Response:
        asked = await self._preparation.read(ChatCompletionRequest, request)
        caller = caller_of(request)
        prompt = await self._prompts.of(asked, request.receive)
        headers = self._preparation.headers(asked, prompt.rendering.unread)
        jobs = self._preparation.jobs(
            asked,
            prompt.limits,
            caller,
            [prompt.ids],
            "messages",
            tool_use=asked.tool_use,
            chat=True,
            continued=bool(asked.continue_final_message),
        )
        head = self._preparation.head("chatcmpl", caller)
        options = self._preparation.options(asked, prompt.rendering.role)
        last = asked.messages[-1]
        if asked.echo and last.role == options.role:
            jobs = [job.echoing(last.text) for job in jobs]
        entry = self._log.begin(
            caller.request_id, lambda: written(asked.messages), jobs, asked.user
        )
        if asked.stream:
            format = logged(ChatStream(head, jobs[0], options), entry)
            return self._delivery.stream(jobs, format, headers)
        answers = await self._delivery.whole(jobs, request.receive)
        if entry is not None:
            entry.answered(answers)
        return JsonReply(chat_object(head, answers[0], options), headers=headers)


def written(messages: Sequence[Message]) -> str:
    return to_json([message.model_dump(exclude_none=True) for message in messages])
