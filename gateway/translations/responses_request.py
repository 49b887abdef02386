"""A request of the Responses API -> a chat request."""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Any

from baton.core.errors import RequestError
from gateway.schema.response_items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
    MessageItem,
    ReasoningItem,
)
from gateway.schema.responses import FunctionTool, JsonSchema, NamedFunction, ResponsesRequest
from gateway.translations.content import content_of
from gateway.translations.passed_on import passed_on

ChatMessage = dict[str, Any]

# Field of the chat request -> the field here that it was made from.
NAMES = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text",
    "reasoning_effort": "reasoning",
    "logprobs": "include",
}
SEALED = "baton:"  # what our encrypted_content begins with


def chat_request(asked: ResponsesRequest, earlier: Sequence[ChatMessage]) -> dict[str, Any]:
    """`earlier`: the messages of the response that this one goes on from."""
    system = [{"role": "system", "content": asked.instructions}] if asked.instructions else []
    fields = {
        "model": asked.model,
        "messages": [*system, *earlier, *messages_of(asked.input)],
        "max_completion_tokens": asked.max_output_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "logprobs": asked.wants_logprobs or None,
        "top_logprobs": (asked.top_logprobs or 0) if asked.wants_logprobs else None,
        "tools": [_tool(tool) for tool in asked.tools] if asked.tools else None,
        "tool_choice": _tool_choice(asked.tool_choice),
        "parallel_tool_calls": asked.parallel_tool_calls,
        "response_format": _response_format(asked),
        "reasoning_effort": asked.reasoning.effort if asked.reasoning else None,
        "user": asked.safety_identifier or asked.user,
        "stream": asked.stream,
        "stream_options": {"include_usage": True} if asked.stream else None,
    }
    said = {name: value for name, value in fields.items() if value is not None}
    return passed_on(asked.foreign) | said


def messages_of(items: Iterable[Item]) -> list[ChatMessage]:
    """Reasoning, text and calls of one turn of the assistant become one message."""
    messages: list[ChatMessage] = []
    for item in items:
        match item:
            case MessageItem(role="assistant"):
                _turn(messages, "content")["content"] = content_of(item.content)
            case MessageItem():
                messages.append({"role": item.role, "content": content_of(item.content)})
            case ReasoningItem():
                _turn(messages, "reasoning")["reasoning"] = _reasoning(item)
            case FunctionCallItem():
                _turn(messages).setdefault("tool_calls", []).append(_call(item))
            case FunctionCallOutputItem():
                messages.append(
                    {
                        "role": "tool",
                        "tool_call_id": item.call_id,
                        "content": content_of(item.output),
                    }
                )
    return messages


def sealed(reasoning: str) -> str:
    """For `encrypted_content`: opaque, and no secret, for the client has the text as well."""
    return SEALED + b64encode(reasoning.encode()).decode()


# What comes of one turn comes in this order; anything else begins another turn.
_AFTER = {"reasoning": ("reasoning", "content", "tool_calls"), "content": ("content", "tool_calls")}


def _turn(messages: list[ChatMessage], adds: str = "tool_calls") -> ChatMessage:
    last = messages[-1] if messages else None
    if last is None or last["role"] != "assistant" or any(k in last for k in _AFTER.get(adds, ())):
        last = {"role": "assistant"}
        messages.append(last)
    return last


def _reasoning(item: ReasoningItem) -> str:
    shown = item.content or item.summary
    if shown or item.encrypted_content is None:
        return shown if isinstance(shown, str) else "\n".join(shown)
    if not item.encrypted_content.startswith(SEALED):
        raise RequestError("encrypted_content is not from this server", "input")
    try:
        return b64decode(item.encrypted_content.removeprefix(SEALED), validate=True).decode()
    except ValueError as error:
        raise RequestError("encrypted_content is damaged", "input") from error


def _call(item: FunctionCallItem) -> dict[str, Any]:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def _tool(tool: FunctionTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _tool_choice(choice: str | NamedFunction | None) -> object:
    if isinstance(choice, NamedFunction):
        return {"type": "function", "function": {"name": choice.name}}
    return choice


def _response_format(asked: ResponsesRequest) -> dict[str, Any] | None:
    format = asked.text.format if asked.text else None
    if format is None or format.type == "text":
        return None
    if isinstance(format, JsonSchema):
        schema = format.model_dump(exclude={"type"}, exclude_none=True)
        return {"type": "json_schema", "json_schema": schema}
    return {"type": format.type}
