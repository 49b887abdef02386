"""What the model thinks is told apart from what it answers, in streams and whole answers alike."""

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from baton.core.errors import SettingsError
from baton.core.token_record import FinishReason
from gateway.output import ChoiceText, OutputPlan
from gateway.params.output_planner import OutputPlanner
from gateway.parsers import factory
from gateway.parsers.reasoning import ReasoningFormat
from gateway.parsers.reasoning_formats import CHANNELS, detected, reasoning_format
from gateway.prompts.vocabulary import Vocabulary
from tests.support.gateway_output import (
    BYTES,
    EOS,
    TAGGED,
    answer,
    ended,
    ids_of,
    output,
    records,
    streamed,
)


def format_of(name: str, vocabulary: Vocabulary = TAGGED) -> ReasoningFormat:
    format = reasoning_format(name, vocabulary, None)
    assert format is not None
    return format


def plan(name: str = "qwen3", vocabulary: Vocabulary = TAGGED, **options: Any) -> OutputPlan:
    return OutputPlan(primary_eos=EOS, reasoning=format_of(name, vocabulary), **options)


def parts(got: ChoiceText) -> tuple[str, str | None]:
    return got.reasoning, got.content


@pytest.mark.parametrize("name", ["deepseek_r1", "qwen3"])
def test_the_part_between_the_tags_is_reasoning(name: str) -> None:
    got = answer(plan(name), ended("<think>\nhm\n</think>\n\nyes"))
    assert parts(got) == ("\nhm\n", "\n\nyes")
    assert got.reasoning_tokens == len(ids_of("<think>\nhm\n</think>"))


def test_a_start_tag_that_the_template_wrote_opens_the_reasoning() -> None:
    assert parts(answer(plan(), ended("hm</think>yes"), "a<think>\n")) == ("hm", "yes")
    assert parts(answer(plan(), ended("<think>hm</think>yes"), "a<think>\n")) == ("hm", "yes")
    assert parts(answer(plan(), ended("</think>yes"), "a<think>\n")) == ("", "yes")


def test_without_a_start_tag_the_families_differ() -> None:
    assert parts(answer(plan("deepseek_r1"), ended("hm</think>yes"))) == ("hm", "yes")
    assert parts(answer(plan("qwen3"), ended('{"a": 1}'))) == ("", '{"a": 1}')


@pytest.mark.parametrize("name", ["deepseek_r1", "qwen3"])
def test_a_prompt_that_ended_the_thinking_leaves_only_content(name: str) -> None:
    got = answer(plan(name), ended('{"a": 1}'), "a<think>\n\n</think>\n\n")
    assert parts(got) == ("", '{"a": 1}')
    assert got.reasoning_tokens == 0


def test_tags_that_the_client_wrote_open_nothing() -> None:
    assert parts(answer(plan(), ended("yes"), "say <think> please\nassistant\n")) == ("", "yes")


def test_a_continued_message_goes_on_where_it_stopped() -> None:
    assert parts(answer(plan(continued=True), ended("m</think>yes"), "<think>h")) == ("m", "yes")
    begun = "<think>hm</think>y"
    assert parts(answer(plan(continued=True), ended("es"), begun)) == ("", "es")


def test_an_end_tag_spelled_by_several_tokens_counts_where_it_is_no_token() -> None:
    batch = records(list(b"<think>hm</think>yes"))
    assert parts(answer(plan(vocabulary=BYTES), batch)) == ("hm", "yes")


def test_an_end_tag_that_is_a_token_is_not_found_in_other_tokens() -> None:
    batch = records([*ids_of("<think>it writes "), *b"</think>", *ids_of(" and</think>yes")])
    assert parts(answer(plan(), batch)) == ("it writes </think> and", "yes")


def test_an_end_tag_and_content_in_one_token_or_step() -> None:
    words = Vocabulary((b"<think>", b"hm</think>yes"))
    machine = output(plan(vocabulary=words), words)
    (delta,) = machine.push(records([0, 1]))
    assert (delta.reasoning, delta.text) == ("hm", "yes")


def test_a_second_end_tag_is_content_in_both_modes() -> None:
    assert parts(answer(plan(), ended("<think>a</think>b</think>c"))) == ("a", "b</think>c")


def test_reasoning_cut_off_leaves_no_content() -> None:
    got = answer(plan(), ended("<think>hm", FinishReason.LENGTH))
    assert (*parts(got), got.finish_reason) == ("hm", None, "length")
    assert got.reasoning_tokens == 3


def test_an_answer_cut_off_within_the_start_tag_is_text() -> None:
    batch = records(list(b" <thi"))
    assert parts(answer(plan(vocabulary=BYTES), batch)) == ("", " <thi")


def test_the_text_comes_as_it_is_written_and_no_tag_leaks() -> None:
    machine = output(plan(vocabulary=BYTES))
    deltas = streamed(machine, records(list(b"<think>a</b></think>c")))
    told = [(d.reasoning, d.text) for d in deltas if d.reasoning or d.text]
    assert told == [("a", ""), ("</b", ""), (">", ""), ("", "c")]


def test_a_stop_string_in_the_reasoning_ends_the_answer() -> None:
    stopping = OutputPlan(reasoning=format_of("qwen3"), stop=("hm",))
    got = answer(stopping, ended("<think>a hm</think>yes"))
    assert (*parts(got), got.stop_reason) == ("a ", None, "hm")


def test_a_stop_string_that_begins_like_the_end_tag_does_not_hide_it() -> None:
    for stop in ("</stop>", "nk>\n\n!", "</think>no"):
        stopping = OutputPlan(reasoning=format_of("qwen3"), stop=(stop,))
        assert parts(answer(stopping, ended("<think>a</think>yes"))) == ("a", "yes")
    ending = OutputPlan(reasoning=format_of("qwen3"), stop=("</think>",))
    got = answer(ending, ended("<think>a</think>yes"))
    assert (*parts(got), got.finish_reason) == ("a", None, "stop")


def test_suppressed_reasoning_is_counted_and_not_shown() -> None:
    batch = records(ids_of("<think>hm</think>yes"), scored=True)
    got = answer(plan(include_reasoning=False), batch, logprobs=0)
    assert parts(got) == ("", "yes")
    assert got.token_ids == ids_of("yes")
    assert [record.token_id for record in got.records] == ids_of("yes")
    assert (got.num_tokens, got.reasoning_tokens) == (len(batch), 4)


def test_suppressed_reasoning_that_never_ends_shows_nothing() -> None:
    got = answer(plan(include_reasoning=False), records(ids_of("<think>hm")))
    assert (*parts(got), got.token_ids, got.num_tokens) == ("", None, [], 3)


def test_tokens_that_were_kept_back_are_shown_when_they_turn_out_to_be_content() -> None:
    machine = output(plan(include_reasoning=False, vocabulary=BYTES))
    deltas = streamed(machine, records(list(b"<th1")))
    assert [(d.text, d.token_ids, d.num_tokens) for d in deltas] == [
        ("", (), 1),
        ("", (), 1),
        ("", (), 1),
        ("<th1", tuple(b"<th1"), 1),
    ]


def test_a_half_character_before_the_end_tag_moves_no_boundary() -> None:
    batch = records([*ids_of("<think>a"), 0xF0, *ids_of("</think>yes")])
    assert parts(answer(plan(), batch)) == ("a\ufffd", "yes")


def test_channels_are_told_apart() -> None:
    channels = plan("gpt_oss", vocabulary=BYTES)
    thinking = CHANNELS.start + "hm" + CHANNELS.end + "yes"
    assert parts(answer(channels, records(list(thinking.encode())))) == ("hm", "yes")
    straight = CHANNELS.lead + "yes"
    assert parts(answer(channels, records(list(straight.encode())))) == ("", "yes")


def test_special_tags_are_seen_by_the_parser_and_by_nobody_else() -> None:
    special = Vocabulary((*BYTES.pieces, b"", b"", b""), {256: b"[THINK]", 257: b"[/THINK]"})
    thinking = plan("mistral", vocabulary=special)
    machine = output(thinking, special)
    (delta,) = machine.push(records([256, 97, 257, 98]))
    assert (delta.reasoning, delta.text) == ("a", "b")


def test_the_format_is_detected_from_template_and_vocabulary() -> None:
    assert detected(BYTES, "{% if x %}<think>\n\n</think>{% endif %}") == "qwen3"
    assert detected(BYTES, "plain") == "none"
    assert detected(TAGGED, "plain") == "qwen3"
    assert reasoning_format("none", TAGGED, None) is None


def test_an_unknown_parser_stops_the_start() -> None:
    with pytest.raises(SettingsError, match=r"--reasoning-parser other is none of auto, none"):
        reasoning_format("other", TAGGED, None)


def test_other_packages_register_parsers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = EntryPoints(
        [EntryPoint("loud", "tests.support.gateway_output:loud", "baton.reasoning_parsers")]
    )
    monkeypatch.setattr(factory, "entry_points", entries.select)
    loud = OutputPlan(reasoning=reasoning_format("loud", TAGGED, None))
    assert parts(answer(loud, ended("<LOUD>HM</LOUD>yes"))) == ("HM", "yes")
    with pytest.raises(SettingsError, match=r"gpt_oss, loud$"):
        reasoning_format("louder", TAGGED, None)


def test_a_grammar_learns_where_the_reasoning_ends() -> None:
    planner = OutputPlanner(TAGGED, reasoning=format_of("qwen3"))
    assert planner.reasoning_end(ids_of("a<think>\n")) == "</think>"
    assert planner.reasoning_end(ids_of("a")) == "</think>"
    assert planner.reasoning_end(ids_of("a<think>\n\n</think>\n\n")) is None
    assert OutputPlanner(TAGGED).reasoning_end(ids_of("a<think>\n")) is None
