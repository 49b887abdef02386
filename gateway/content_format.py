"""How a chat template wants a message's content: as one string, or as a list of parts."""

from enum import Enum

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from baton.core.errors import SettingsError


class ContentFormat(Enum):
    STRING = "string"
    PARTS = "parts"  # a list of {"type": "text", "text": ...}


def content_format(template: str) -> ContentFormat:
    """PARTS when the template loops over something called content."""
    environment = ImmutableSandboxedEnvironment(
        extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"]
    )
    try:
        tree = environment.parse(_without_generation_marks(template))
    except TemplateSyntaxError as error:
        raise SettingsError(f"the chat template does not parse: {error}") from error
    loops = tree.find_all(nodes.For)
    return ContentFormat.PARTS if any(map(_over_content, loops)) else ContentFormat.STRING


def _over_content(loop: nodes.For) -> bool:
    subject: nodes.Node = loop.iter
    while isinstance(subject, nodes.Filter) and subject.node is not None:
        subject = subject.node
    match subject:
        case nodes.Getattr(attr="content"):
            return True
        case nodes.Getitem(arg=nodes.Const(value="content")):
            return True
        case nodes.Name(name="content"):
            return True
    return False


def _without_generation_marks(template: str) -> str:
    """transformers' own tag around assistant text, which plain jinja does not know."""
    for mark in ("generation", "endgeneration"):
        for opening in ("{%", "{%-"):
            for closing in ("%}", "-%}"):
                template = template.replace(f"{opening} {mark} {closing}", "")
    return template
