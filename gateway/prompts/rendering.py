"""What a request says about its template + what the operator allows -> how one chat is rendered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from baton.core.errors import RequestError, SettingsError
from gateway.prompts.chat_template import ChatTemplate, ChatTemplates
from gateway.prompts.content_format import ContentFormat
from gateway.schema.chat_fields import ChatFields
from gateway.schema.image_part import ImagePart
from gateway.schema.message import Message
from gateway.schema.template_fields import NOT_HERE, SWITCHES, TemplateFields
from gateway.tool_use import ToolMode

READ_BY_RENDERER = frozenset({"documents", "tools", *SWITCHES})


@dataclass(frozen=True, slots=True)
class Rendering:
    """`unread` names fields of the request that this template takes no notice of."""

    template: ChatTemplate
    foreign: bool  # the template came with the request
    role: str  # of the answer
    begins_answer: bool
    continues: bool
    variables: Mapping[str, Any] = field(default_factory=dict)  # what it is told besides messages
    add_special_tokens: bool = False
    unread: tuple[str, ...] = ()


class RenderingRules:
    """The operator's. Raises SettingsError for `kwargs` that are not for templates."""

    def __init__(
        self,
        templates: ChatTemplates,
        kwargs: Mapping[str, Any] | None = None,
        *,
        trusts_requests: bool = False,
        hides_unused_tools: bool = False,
        role: str = "assistant",
    ) -> None:
        for name in kwargs or {}:
            if name in NOT_HERE | READ_BY_RENDERER:
                raise SettingsError(f"--default-chat-template-kwargs cannot set {name}")
        self._templates = templates
        self._kwargs = dict(kwargs or {})
        self._trusts_requests = trusts_requests
        self._hides_unused_tools = hides_unused_tools
        self._role = role

    def rendering(self, messages: Sequence[Message], asked: ChatFields) -> Rendering:
        shown = self._shown_tools(asked)
        template = self._template(asked, with_tools=bool(shown))
        told, unread = self._variables(asked, shown, template)
        begins = asked.begins_answer
        return Rendering(
            template,
            foreign=asked.chat_template is not None,
            role=self._role if begins else messages[-1].role,
            begins_answer=begins,
            continues=asked.continues,
            variables=told,
            add_special_tokens=bool(asked.add_special_tokens),
            unread=unread,
        )

    def _template(self, asked: TemplateFields, with_tools: bool) -> ChatTemplate:
        if asked.chat_template is None:
            template = self._templates.choose(with_tools)
            if template is None:
                raise RequestError("this model has no chat template", "messages")
            return template
        if not self._trusts_requests:
            raise RequestError(
                "this server takes no chat_template from requests; "
                "it would with --trust-request-chat-template",
                "chat_template",
            )
        try:
            return self._templates.of_a_request(asked.chat_template)
        except TemplateError as error:
            raise RequestError(f"chat_template does not parse: {error}", "chat_template") from error

    def _shown_tools(self, asked: ChatFields) -> list[dict[str, Any]] | None:
        hidden = self._hides_unused_tools and asked.tool_use.mode is ToolMode.OFF
        return None if hidden else asked.shown_tools

    def _variables(
        self, asked: TemplateFields, tools: list[dict[str, Any]] | None, template: ChatTemplate
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """What the template is told, and the names of what it does not read."""
        said: dict[str, Any] = {"tools": tools, "documents": asked.documents}
        said = {name: value for name, value in said.items() if value is not None}
        unread = [name for name in said if name not in template.variables]
        effort = _effort(asked)
        if effort and not template.variables & effort.keys():
            unread.append("reasoning_effort")
        own = asked.chat_template_kwargs or {}
        readable = template.variables | READ_BY_RENDERER
        unread += [f"chat_template_kwargs.{name}" for name in own if name not in readable]
        told = {**said, **self._kwargs, **effort, **own}
        kept = {name: value for name, value in told.items() if name in readable}
        return {k: v for k, v in kept.items() if k not in SWITCHES}, tuple(unread)


def _effort(asked: TemplateFields) -> dict[str, Any]:
    effort = asked.reasoning_effort
    if effort is None:
        return {}
    return {"reasoning_effort": effort, "enable_thinking": effort != "none"}


def template_entry(
    message: Message, format: ContentFormat, image_text: str = ""
) -> dict[str, object]:
    """A message as the template reads it. `image_text` stands for an image in a plain text."""
    content: object
    if format is ContentFormat.PARTS:
        content = [
            {"type": "image"} if isinstance(part, ImagePart) else {"type": "text", "text": part}
            for part in message.parts
        ]
    else:
        content = "\n".join(
            image_text if isinstance(part, ImagePart) else part for part in message.parts
        )
    entry: dict[str, object] = {"role": message.role, "content": content}
    for name in ("name", "tool_call_id"):
        if getattr(message, name) is not None:
            entry[name] = getattr(message, name)
    if message.calls:
        entry["tool_calls"] = [call.model_dump(exclude_none=True) for call in message.calls]
    reasoning = message.reasoning or message.reasoning_content
    if reasoning:  # templates read one name or the other
        entry |= {"reasoning": reasoning, "reasoning_content": reasoning}
    return entry
