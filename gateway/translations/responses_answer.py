"""The response object: what the request said comes back, beside what came of it."""

from typing import Any

from gateway.schema.responses import ResponsesRequest
from gateway.translations.chat_pieces import as_chunk
from gateway.translations.responses_stream import ResponseStream

Response = dict[str, Any]


def begun(asked: ResponsesRequest, response_id: str, created: int) -> Response:
    """In progress, its model not known yet. `created`: seconds since 1970."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": asked.max_tool_calls,
        "metadata": asked.metadata or {},
        "model": None,
        "output": [],
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": asked.previous_response_id,
        "prompt_cache_key": asked.prompt_cache_key,
        "reasoning": {
            "effort": asked.reasoning.effort if asked.reasoning else None,
            "summary": asked.reasoning.summary if asked.reasoning else None,
        },
        "safety_identifier": asked.safety_identifier,
        "service_tier": "default",
        "store": asked.is_stored,
        "temperature": asked.temperature,
        "text": _text(asked),
        "tool_choice": _tool_choice(asked),
        "tools": [_tool(tool.model_dump()) for tool in asked.tools or ()],
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": asked.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": asked.user,
    }


def whole_response(begun: Response, asked: ResponsesRequest, answer: dict[str, Any]) -> Response:
    """Of a whole chat answer: by construction what its stream would add up to."""
    stream = ResponseStream(begun, asked.wants_encrypted)
    stream.push(as_chunk(answer))
    stream.end()
    return stream.response


def _text(asked: ResponsesRequest) -> dict[str, Any]:
    format = asked.text.format if asked.text else None
    said = format.model_dump(exclude_none=True) if format else {"type": "text"}
    return {"format": said, "verbosity": "medium"}


def _tool_choice(asked: ResponsesRequest) -> object:
    choice = asked.tool_choice
    if choice is None:
        return "auto" if asked.tools else "none"
    return choice if isinstance(choice, str) else choice.model_dump()


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {**tool, "strict": bool(tool["strict"])}
