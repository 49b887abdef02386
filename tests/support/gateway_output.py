"""Answers of a vocabulary of bytes and tags, for tests of the output."""

from collections.abc import Sequence
from typing import Any

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenLogprobs, TokenRecord
from gateway.output import ChoiceText, Delta, Output, OutputPlan, fold
from gateway.parsers.tagged_reasoning import TaggedReasoning, Tags
from gateway.prompts.vocabulary import Vocabulary

EOS = 256
OTHER_EOS = 257
TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
MARKS = ("[TOOL_CALLS]", "<|python_tag|>")  # special
PIECES = (
    *(bytes([value]) for value in range(256)),
    b"",
    b"",
    *(t.encode() for t in TAGS),
    b"",
    b"",
)
BYTES = Vocabulary(tuple(bytes([value]) for value in range(256)))
TAGGED = Vocabulary(
    PIECES,
    {
        EOS: b"<eos>",
        OTHER_EOS: b"<other>",
        **{262 + i: mark.encode() for i, mark in enumerate(MARKS)},
    },
)
IDS = {**{tag: 258 + i for i, tag in enumerate(TAGS)}, **{m: 262 + i for i, m in enumerate(MARKS)}}


def ids_of(text: str, whole_tags: bool = True) -> list[int]:
    """Bytes, and tags as one token each."""
    ids: list[int] = []
    while text:
        tag = next((tag for tag in IDS if whole_tags and text.startswith(tag)), "")
        ids += [IDS[tag]] if tag else list(text[0].encode())
        text = text[len(tag) or 1 :]
    return ids


def records(
    ids: Sequence[int],
    choice: int = 0,
    finish: FinishReason | None = FinishReason.LENGTH,
    start: int = 5,
    scored: bool = False,
) -> list[TokenRecord]:
    last = len(ids) - 1
    scores = TokenLogprobs(-0.5, 1) if scored else None
    return [
        TokenRecord(choice, start + i, token, finish if i == last else None, scores)
        for i, token in enumerate(ids)
    ]


def ended(text: str, finish: FinishReason = FinishReason.STOP) -> list[TokenRecord]:
    """The text, and the end of sequence behind it if that is how it ended."""
    return records([*ids_of(text), *([EOS] if finish is FinishReason.STOP else [])], finish=finish)


def output(
    plan: OutputPlan,
    vocabulary: Vocabulary = TAGGED,
    prompt: str = "",
    **params: Any,
) -> Output:
    sampling = SamplingParams(**{"max_tokens": 1000, "seed": 0, **params})
    return Output(vocabulary, ids_of(prompt), sampling, plan)


def streamed(machine: Output, batch: Sequence[TokenRecord], size: int = 1) -> list[Delta]:
    """The deltas of steps of so many tokens, until the machine has ended."""
    deltas: list[Delta] = []
    for start in range(0, len(batch), size):
        deltas += machine.push(batch[start : start + size])
    return deltas


def answer(
    plan: OutputPlan, batch: Sequence[TokenRecord], prompt: str = "", **params: Any
) -> ChoiceText:
    """Of one choice, token by token."""
    return fold(streamed(output(plan, prompt=prompt, **params), batch), 1)[0]


def loud(vocabulary: Vocabulary) -> TaggedReasoning:
    """A reasoning format as another package would bring it."""
    return TaggedReasoning(vocabulary, Tags("<LOUD>", "</LOUD>"))
