"""Chat templates: where they come from, which of them a chat uses, and what each one reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from baton.core.errors import SettingsError
from gateway.prompts.content_format import ContentFormat, format_of, without_generation_marks

DEFAULT, WITH_TOOLS = "default", "tool_use"  # names among several templates of one model


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    text: str
    format: ContentFormat
    variables: frozenset[str]  # that it reads, those that it sets itself included


def parse_template(text: str, format: ContentFormat | None = None) -> ChatTemplate:
    """`format` None: as the template itself suggests. Raises jinja's TemplateError.

    Nothing is computed: jinja's own search for variables evaluates what is constant, such as
    'a' * 10 ** 10.
    """
    environment = ImmutableSandboxedEnvironment(
        extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"]
    )
    try:
        tree = environment.parse(without_generation_marks(text))
        variables = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load"}
    except RecursionError as error:
        raise TemplateError("it is nested too deeply") from error
    except ValueError as error:  # of a literal, such as an endless number
        raise TemplateError(str(error)) from error
    return ChatTemplate(text, format or format_of(tree), frozenset(variables))


class ChatTemplates:
    """Those of one model: none, one, or several by name."""

    def __init__(
        self, templates: str | Mapping[str, str] | None, format: ContentFormat | None = None
    ) -> None:
        named = {DEFAULT: templates} if isinstance(templates, str) else templates or {}
        self._format = format
        used = [name for name in (DEFAULT, WITH_TOOLS) if name in named]
        self._templates = {name: self._parsed(named[name]) for name in used}

    def choose(self, with_tools: bool) -> ChatTemplate | None:
        names = (WITH_TOOLS, DEFAULT) if with_tools else (DEFAULT,)
        return next((self._templates[name] for name in names if name in self._templates), None)

    def of_a_request(self, text: str) -> ChatTemplate:
        """Raises jinja's TemplateError."""
        return parse_template(text, self._format)

    def _parsed(self, text: str) -> ChatTemplate:
        try:
            return parse_template(text, self._format)
        except TemplateError as error:
            raise SettingsError(f"the chat template does not parse: {error}") from error


def read_template(text: str) -> str:
    """Of the file so called, or `text` itself where it is clearly a template."""
    try:
        return Path(text).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if "{" in text:
            return text
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"cannot read --chat-template {text}: {reason}") from error
