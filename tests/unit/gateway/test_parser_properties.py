"""Where tokens begin and end is nothing to a parser: it reads a text."""

import itertools
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.parsers.reasoning_formats import CHANNELS, reasoning_format
from gateway.parsers.tool_formats import BUILT_IN
from gateway.parsers.tools import CallArguments, CallBegan, CallEnded, Content, ToolEvent
from tests.support.gateway_output import BYTES

PIECES = [
    "<tool_call>", "</tool_call>", "<tool", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "get",
    "<|python_tag|>", "<|python_start|>", "<|python_end|>", '{"name": "get", "arguments": {"a": 1}}',
    '{"parameters": {"b": [{}, "}"]}, "name": "f"}', '{"name": "g"', ', "arguments": ', "{}", "}",
    "[get(a='(]', b=[1, {'x': None}])", ", f( )", "]", "[", "; ", " ", "\n", "\\", '"', "'", "text",
    "\\u00e9", "é😀", "(", ")", "=", ",", "[{", "null",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)
cuts = st.lists(st.integers(0, 200), max_size=12)


def pieces(text: str, places: Sequence[int]) -> list[str]:
    ends = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(ends)]


def told(events: Iterable[ToolEvent]) -> list[list[object]]:
    """With neighbouring fragments as one."""
    kept: list[list[object]] = []
    for event in events:
        match event:
            case Content(text) if text:
                if kept and kept[-1][0] == "content":
                    kept[-1][1] = f"{kept[-1][1]}{text}"
                else:
                    kept.append(["content", text])
            case CallBegan(name):
                kept.append(["call", name, "", None])
            case CallArguments(fragment):
                kept[-1][2] = f"{kept[-1][2]}{fragment}"
            case CallEnded(complete):
                kept[-1][3] = complete
    return kept


@pytest.mark.parametrize("name", list(BUILT_IN))
@given(text=texts, places=cuts, cut=st.booleans())
def test_calls_are_the_same_however_the_text_is_cut(
    name: str, text: str, places: list[int], cut: bool
) -> None:
    def read(parts: list[str]) -> list[list[object]]:
        parser = BUILT_IN[name]().parser()
        events = [event for part in parts for event in parser.push(part)]
        return told([*events, *parser.end(cut)])

    whole = read([text])
    assert read(list(text)) == whole
    assert read(pieces(text, places)) == whole
    if not any(entry[0] == "call" for entry in whole) and not cut:
        assert "".join(str(entry[1]) for entry in whole) == text


TAGS = ["<think>", "</think>", "[THINK]", "[/THINK]", CHANNELS.start, CHANNELS.end, CHANNELS.lead]


@pytest.mark.parametrize("name", ["deepseek_r1", "qwen3", "mistral", "gpt_oss"])
@given(
    text=st.lists(
        st.sampled_from([*TAGS, "<", "</th", " ", "\n", "hm", "<|end|>"]), max_size=8
    ).map("".join),
    places=cuts,
    prompt=st.sampled_from(["", "<think>", "<think></think>"]),
)
def test_reasoning_is_the_same_however_the_text_is_cut(
    name: str, text: str, places: list[int], prompt: str
) -> None:
    format = reasoning_format(name, BYTES, None)
    assert format is not None

    def read(parts: list[str]) -> tuple[str, str, int | None]:
        parser = format.parser(prompt, False)
        got = [*map(parser.push, parts), parser.end()]
        return "".join(p.reasoning for p in got), "".join(p.content for p in got), parser.boundary

    whole = read([text])
    assert read(list(text)) == whole
    assert read(pieces(text, places)) == whole
