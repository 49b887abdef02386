"""A request of Anthropic's Messages API -> a chat request."""

from collections.abc import Sequence
from typing import Any

from gateway.json_text import to_json
from gateway.schema.image_part import ImagePart
from gateway.schema.message_blocks import (
    AssistantBlock,
    AssistantMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserBlock,
)
from gateway.schema.messages import ClientTool, CountTokensRequest, MessagesRequest
from gateway.translations.content import content_of
from gateway.translations.passed_on import passed_on

ChatMessage = dict[str, Any]

# Field of the chat request -> the field here that it was made from.
NAMES = {
    "chat_template_kwargs": "thinking",
    "continue_final_message": "messages",
    "max_completion_tokens": "max_tokens",
    "parallel_tool_calls": "tool_choice",
    "reasoning_effort": "output_config",
    "response_format": "output_config",
    "stop": "stop_sequences",
    "user": "metadata",
}
CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def chat_request(asked: MessagesRequest) -> dict[str, Any]:
    fields = {
        "max_completion_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "stop": asked.stop_sequences or None,
        "user": asked.metadata.user_id if asked.metadata else None,
        "stream": asked.stream,
        # From the first chunk on: Anthropic's stream begins with the size of the prompt.
        "stream_options": {"include_usage": True, "continuous_usage_stats": True}
        if asked.stream
        else None,
    }
    return prompt_request(asked) | {k: v for k, v in fields.items() if v is not None}


def prompt_request(asked: CountTokensRequest) -> dict[str, Any]:
    """What of it decides the prompt."""
    choice, config = asked.tool_choice, asked.output_config
    fields: dict[str, Any] = {
        "model": asked.model,
        "messages": chat_messages(asked),
        "continue_final_message": isinstance(asked.messages[-1], AssistantMessage) or None,
        "tools": [_tool(tool) for tool in asked.tools] if asked.tools else None,
        "reasoning_effort": config.effort if config else None,
        "response_format": _response_format(config.format.schema_)
        if config and config.format
        else None,
    }
    if choice is not None:
        named = {"type": "function", "function": {"name": choice.name}}
        fields["tool_choice"] = CHOICES.get(choice.type, named)
        fields["parallel_tool_calls"] = False if choice.disable_parallel_tool_use else None
    # Anthropic's models think only when asked to; its clients take the first block for the answer.
    thinks = asked.thinking is not None and asked.thinking.type != "disabled"
    fields["chat_template_kwargs"] = {"enable_thinking": thinks}
    said = {name: value for name, value in fields.items() if value is not None}
    foreign = passed_on(asked.foreign)
    told = foreign.get("chat_template_kwargs")
    if isinstance(told, dict):
        said["chat_template_kwargs"] = {**said.get("chat_template_kwargs", {}), **told}
    return foreign | said


def chat_messages(asked: CountTokensRequest) -> list[ChatMessage]:
    system = [{"role": "system", "content": content_of(asked.system)}] if asked.system else []
    messages: list[ChatMessage] = [*system]
    for message in asked.messages:
        if isinstance(message, AssistantMessage):
            messages.append(_assistant(message.content))
        else:
            messages += _user(message.content)
    return messages


def _user(blocks: Sequence[UserBlock]) -> list[ChatMessage]:
    """Results of tools are messages of their own; the order stays."""
    messages: list[ChatMessage] = []
    parts: list[str | ImagePart] = []
    for block in blocks:
        if not isinstance(block, ToolResultBlock):
            parts.append(block.text if isinstance(block, TextBlock) else block.source)
            continue
        if parts:
            messages.append({"role": "user", "content": content_of(parts)})
            parts = []
        messages.append(_result(block))
    if parts or not messages:
        messages.append({"role": "user", "content": content_of(parts)})
    return messages


def _result(block: ToolResultBlock) -> ChatMessage:
    """A chat has no flag for an error, so the text says it."""
    content = block.content
    if block.is_error:
        content = ["Error:", *([content] if isinstance(content, str) else content)]
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": content_of(content)}


def _assistant(blocks: Sequence[AssistantBlock]) -> ChatMessage:
    message: ChatMessage = {"role": "assistant"}
    texts = [block.text for block in blocks if isinstance(block, TextBlock)]
    thoughts = [block.thinking for block in blocks if isinstance(block, ThinkingBlock)]
    calls = [_call(block) for block in blocks if isinstance(block, ToolUseBlock)]
    if texts or not calls:
        message["content"] = content_of(texts)
    if thoughts:
        message["reasoning"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: ToolUseBlock) -> dict[str, Any]:
    function = {"name": block.name, "arguments": to_json(block.input)}
    return {"id": block.id, "type": "function", "function": function}


def _tool(tool: ClientTool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.input_schema,
        "strict": tool.strict,
    }
    said = {name: value for name, value in function.items() if value is not None}
    return {"type": "function", "function": said}


def _response_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
