"""What holds for any tokens, any steps, any stop strings, parsers and number of choices."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenLogprobs, TokenRecord
from gateway.answers.answer import AnswerHead, AnswerOptions, PromptAnswer
from gateway.answers.chat_format import ChatStream, chat_object
from gateway.answers.logprobs import TokenNames, chat_logprobs
from gateway.job import Job
from gateway.json_text import to_json
from gateway.output import ChoiceText, Delta, Output, OutputPlan, fold
from gateway.output.interval import Interval
from gateway.output.told_so_far import NOTHING_TOLD, Behind
from gateway.parsers.reasoning_formats import reasoning_format
from gateway.parsers.tool_formats import tool_format
from gateway.tool_use import ToolMode, ToolUse
from tests.support.gateway_output import EOS, TAGGED, ids_of

REASONING = ["none", "deepseek_r1", "qwen3", "mistral"]
TOOLS = ["none", "hermes", "llama3_json", "pythonic", "mistral"]
SNIPPETS = [
    "<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>",
    '{"name": "f", "arguments": {"a": "é😀"}}', '{"name": "f", ', '"parameters": {}}', "[f(a=1)]",
    '[{"name": "f"}]', "f{}", "; ", "\n", "STOP", "S", "</", "é", "😀", "ab", "}", "{", "]",
]  # fmt: skip

tokens = st.one_of(
    st.sampled_from(SNIPPETS).map(ids_of),
    st.sampled_from(SNIPPETS).map(lambda text: ids_of(text, whole_tags=False)),
    st.lists(st.integers(0, 255), max_size=3),
)
sequences = st.lists(tokens, min_size=1, max_size=8).map(lambda p: [i for part in p for i in part])
plans = st.builds(
    OutputPlan,
    primary_eos=st.just(EOS),
    stop=st.lists(
        st.sampled_from(["STOP", "TOP", "</t", "é", "}", "</think>", "\n", "ab"]),
        max_size=2,
        unique=True,
    ).map(tuple),
    include_stop=st.booleans(),
    skip_special=st.booleans(),
    reasoning=st.sampled_from(REASONING).map(lambda n: reasoning_format(n, TAGGED, None)),
    include_reasoning=st.booleans(),
    tools=st.sampled_from(TOOLS).map(lambda name: tool_format(name, None)),
    tool_use=st.builds(
        ToolUse, mode=st.sampled_from(ToolMode), names=st.just(("f",)), parallel=st.booleans()
    ),
)
prompts = st.sampled_from(["", "x<think>\n", "x<think>\n\n</think>\n\n", "x"])
finishes = st.sampled_from(FinishReason)


def records_of(
    ids: Sequence[int], choice: int, finish: FinishReason, start: int
) -> list[TokenRecord]:
    whole = [*ids, EOS] if finish is FinishReason.STOP else list(ids) or [97]
    last = len(whole) - 1
    return [
        TokenRecord(choice, start + i, token, finish if i == last else None, TokenLogprobs(-1.0, 1))
        for i, token in enumerate(whole)
    ]


def cut(batch: Sequence[TokenRecord], cuts: Sequence[int]) -> list[Sequence[TokenRecord]]:
    places = [0, *sorted(min(place, len(batch)) for place in cuts), len(batch)]
    return [batch[a:b] for a, b in itertools.pairwise(places)]


def without_ids(choices: list[ChoiceText]) -> list[object]:
    """Ids of calls are drawn."""
    for choice in choices:
        for call in choice.tool_calls:
            call.id = ""
    return list(choices)


@given(
    answers=st.lists(st.tuples(sequences, finishes), min_size=1, max_size=3),
    plan=plans,
    prompt=prompts,
    cuts=st.lists(st.integers(0, 60), max_size=8),
    min_tokens=st.integers(0, 4),
    interval=st.integers(1, 5),
    data=st.data(),
)
def test_a_stream_is_the_whole_answer(
    answers: list[tuple[list[int], FinishReason]],
    plan: OutputPlan,
    prompt: str,
    cuts: list[int],
    min_tokens: int,
    interval: int,
    data: st.DataObject,
) -> None:
    ids = ids_of(prompt)
    params = SamplingParams(99, 0, n=len(answers), logprobs=0, min_tokens=min_tokens)
    queues = [records_of(a, i, finish, len(ids)) for i, (a, finish) in enumerate(answers)]
    lengths = [len(queue) for queue in queues]
    order = data.draw(st.permutations([i for i, count in enumerate(lengths) for _ in range(count)]))
    mixed = [queues[i].pop(0) for i in order]

    def make() -> Output:
        return Output(TAGGED, ids, params, plan)

    machine, gather, streamed = make(), Interval(interval), list[Delta]()
    for step in cut(mixed, cuts):
        streamed += gather.push(machine.push(step))
    whole = fold(make().push(mixed), len(answers))

    assert machine.ended
    assert without_ids(fold(streamed, len(answers))) == without_ids(whole)
    for choice in range(len(answers)):
        reasons = [d.finish_reason for d in streamed if d.choice == choice and d.finish_reason]
        assert len(reasons) == 1
        assert whole[choice].num_tokens <= lengths[choice]
        assert len(whole[choice].records) == len(whole[choice].token_ids)
        if plan.include_reasoning or plan.reasoning is None:
            assert len(whole[choice].token_ids) == whole[choice].num_tokens
        shown = (whole[choice].text, whole[choice].reasoning, *whole[choice].tool_calls)
        assert all(ord(c) < 0xD800 or ord(c) > 0xDFFF for part in shown for c in str(part))
        calls_told(streamed, choice)


def calls_told(deltas: Sequence[Delta], choice: int) -> None:
    """A name comes once, first, and calls come in order."""
    seen: list[int] = []
    for part in (part for d in deltas if d.choice == choice for part in d.tool_calls):
        assert (part.id is not None) == (part.name is not None) == (part.index not in seen)
        if part.index not in seen:
            seen.append(part.index)
        assert part.index == seen[-1]
    assert seen == list(range(len(seen)))


@given(answer=sequences, finish=finishes, plan=plans, prompt=prompts, at=st.integers(0, 60))
def test_an_answer_that_was_cut_anywhere_goes_on_behind_what_was_told_of_it(
    answer: list[int], finish: FinishReason, plan: OutputPlan, prompt: str, at: int
) -> None:
    ids, params = ids_of(prompt), SamplingParams(99, 0)
    batch = records_of(answer, 0, finish, len(ids))
    whole = Output(TAGGED, ids, params, plan).push(batch)
    first = Output(TAGGED, ids, params, plan)
    before = first.push(batch[:at]) if at else []
    if first.ended:
        return

    again, behind = Output(TAGGED, ids, params, plan), Behind(NOTHING_TOLD.plus(before))
    for delta in again.push(batch[:at]) if at else []:
        cut_off = behind.cut(delta)
        assert (cut_off.text, cut_off.reasoning, cut_off.tool_calls) == ("", "", ())
    after = [behind.cut(delta) for delta in again.push(batch[at:])]
    calls_told([*before, *after], 0)
    (got,), (want,) = fold([*before, *after], 1), fold(whole, 1)
    got.hidden, got.token_ids = want.hidden, want.token_ids  # what is kept back is told apart
    assert without_ids([got]) == without_ids([want])


@given(answer=sequences, finish=finishes, plan=plans)
def test_nothing_that_the_model_wrote_is_lost_or_made_up_without_tools(
    answer: list[int], finish: FinishReason, plan: OutputPlan
) -> None:
    plain = replace(plan, stop=(), reasoning=None, tool_use=ToolUse(), skip_special=False)
    batch = records_of(answer, 0, finish, 0)
    params = SamplingParams(99, 0, logprobs=0)
    (got,) = fold(Output(TAGGED, (), params, plain).push(batch), 1)
    entries = chat_logprobs(got.records, TokenNames(TAGGED), 0)["content"]
    raw = bytes(b for entry in entries for b in entry["bytes"])  # type: ignore[attr-defined]
    if finish is FinishReason.STOP and not plain.include_stop:
        raw = raw.removesuffix(b"<eos>")
    assert len(entries) == len(batch)
    assert raw.decode("utf-8", "replace").startswith(got.text)
    missing = raw.decode("utf-8", "replace").removeprefix(got.text)
    assert set(missing) <= {"\ufffd"}, "only a character that was cut off may be missing"


@given(answer=sequences, plan=plans, prompt=prompts)
def test_stop_strings_never_show(answer: list[int], plan: OutputPlan, prompt: str) -> None:
    plain = replace(plan, include_stop=False, reasoning=None, tool_use=ToolUse())
    batch = records_of(answer, 0, FinishReason.STOP, 0)
    (got,) = fold(Output(TAGGED, ids_of(prompt), SamplingParams(99, 0), plain).push(batch), 1)
    assert not any(stop in got.text for stop in plain.stop)
    assert (got.stop_reason is None) == (got.num_tokens == len(batch))


def test_a_job_that_says_nothing_is_plain() -> None:
    assert not Job("r", (1,), SamplingParams(1, 0)).plan.parsed


HEAD = AnswerHead("chatcmpl-1", 1700000000, "m", "f")


@given(
    answers=st.lists(st.tuples(sequences, finishes), min_size=1, max_size=2),
    plan=plans,
    cuts=st.lists(st.integers(0, 60), max_size=8),
    token_ids=st.booleans(),
    logprobs=st.sampled_from([None, 0]),
    echo=st.sampled_from([None, "said"]),
    continuous=st.booleans(),
)
def test_the_chunks_of_a_chat_add_up_to_its_object(
    answers: list[tuple[list[int], FinishReason]],
    plan: OutputPlan,
    cuts: list[int],
    token_ids: bool,
    logprobs: int | None,
    echo: str | None,
    continuous: bool,
) -> None:
    params = SamplingParams(99, 0, n=len(answers), logprobs=logprobs)
    job = Job("r", (97,), params, plan=replace(plan, echo=echo))
    options = AnswerOptions(
        usage=True, continuous_usage=continuous, token_ids=token_ids, names=TokenNames(TAGGED)
    )
    batch = [r for i, (a, finish) in enumerate(answers) for r in records_of(a, i, finish, 1)]
    machine, stream = Output(TAGGED, job.prompt, params, job.plan), ChatStream(HEAD, job, options)
    deltas, sent = list[Delta](), b""
    for step in cut(batch, cuts):
        fresh = machine.push(step)
        sent += stream.push(0, fresh)
        deltas += fresh
    stream.cached(0, 0)
    sent += stream.end()
    answer = PromptAnswer(job, fold(deltas, len(answers)), 0)
    body: Any = json.loads(to_json(chat_object(HEAD, answer, options)))
    chunks = [json.loads(line.removeprefix("data: ")) for line in sent.decode().split("\n\n")[:-1]]
    assert chunks[-1]["usage"] == body["usage"]
    assert [added_up(chunks, i) for i in range(len(answers))] == [
        wanted(choice) for choice in body["choices"]
    ]


def added_up(chunks: list[Any], index: int) -> dict[str, Any]:
    """What a client puts together."""
    got: dict[str, Any] = {"content": "", "reasoning": "", "calls": [], "ids": [], "scores": []}
    for choice in (c for chunk in chunks for c in chunk["choices"] if c["index"] == index):
        delta = choice["delta"]
        assert len(delta) <= 2
        assert "finish_reason" not in got, "nothing comes after the end"
        got["content"] += delta.get("content", "")
        got["reasoning"] += delta.get("reasoning", "")
        for part in delta.get("tool_calls", []):
            if "id" in part:
                got["calls"].append([part["id"], part["function"]["name"], ""])
            got["calls"][part["index"]][2] += part["function"]["arguments"]
        got["ids"] += choice.get("token_ids") or []
        got["scores"] += (choice["logprobs"] or {}).get("content", [])
        if choice["finish_reason"]:
            got |= {key: choice[key] for key in ("finish_reason", "stop_reason")}
    return got


def wanted(choice: Any) -> dict[str, Any]:
    message = choice["message"]
    return {
        "content": message["content"] or "",
        "reasoning": message["reasoning_content"] or "",
        "calls": [
            [c["id"], c["function"]["name"], c["function"]["arguments"]]
            for c in message["tool_calls"]
        ],
        "ids": choice["token_ids"] or [],
        "scores": (choice["logprobs"] or {}).get("content", []),
        "finish_reason": choice["finish_reason"],
        "stop_reason": choice["stop_reason"],
    }
