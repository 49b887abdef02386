"""How a chat template wants a message's content: as one string, or as a list of parts."""

from enum import Enum

from jinja2 import nodes


class ContentFormat(Enum):
    """The values are vLLM's, of --chat-template-content-format."""

    STRING = "string"
    PARTS = "openai"  # a list of {"type": "text", "text": ...}


def named_format(name: str) -> ContentFormat | None:
    """None for `auto`: as each template suggests."""
    return None if name == "auto" else ContentFormat(name)


def format_of(tree: nodes.Template) -> ContentFormat:
    """PARTS when the template loops over something called content."""
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


def without_generation_marks(template: str) -> str:
    """transformers' own tag around assistant text, which plain jinja does not know."""
    for mark in ("generation", "endgeneration"):
        for opening in ("{%", "{%-"):
            for closing in ("%}", "-%}"):
                template = template.replace(f"{opening} {mark} {closing}", "")
    return template
