"""The reasoning formats by name, those of other packages included."""

from collections.abc import Mapping

from gateway.parsers.factory import AUTO, NONE, factory
from gateway.parsers.reasoning import ReasoningFactory, ReasoningFormat
from gateway.parsers.tagged_reasoning import TaggedReasoning, Tags
from gateway.prompts.vocabulary import Vocabulary

GROUP = "baton.reasoning_parsers"
FLAG = "--reasoning-parser"

THINK = Tags("<think>", "</think>")
BRACKETS = Tags("[THINK]", "[/THINK]")
CHANNELS = Tags(
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
    lead="<|channel|>final<|message|>",
)


def _tagged(tags: Tags, *, open: bool = False) -> ReasoningFactory:
    return lambda vocabulary: TaggedReasoning(vocabulary, tags, open=open)


BUILT_IN: Mapping[str, ReasoningFactory] = {
    "deepseek_r1": _tagged(THINK, open=True),
    "qwen3": _tagged(THINK),
    "mistral": _tagged(BRACKETS),
    "gpt_oss": _tagged(CHANNELS),
}


def reasoning_format(
    name: str, vocabulary: Vocabulary, template: str | None
) -> ReasoningFormat | None:
    """`name` as for --reasoning-parser. None: the answers are content from the first character.
    Raises SettingsError for an unknown name.
    """
    if name == AUTO:
        name = detected(vocabulary, template or "")
    if name == NONE:
        return None
    return factory(name, BUILT_IN, GROUP, FLAG)(vocabulary)


def detected(vocabulary: Vocabulary, template: str) -> str:
    """By the tags that the chat template writes, else by those that are tokens."""
    known = {"qwen3": THINK, "mistral": BRACKETS, "gpt_oss": CHANNELS}
    for name, tags in known.items():
        if tags.start in template and (tags.end in template or tags is CHANNELS):
            return name
    for name, tags in known.items():
        if vocabulary.id_of(tags.start) is not None and vocabulary.id_of(tags.end) is not None:
            return name
    return NONE
