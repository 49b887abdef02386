"""The load client against a real socket."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from benchmarks.load import first_model, make_bodies, measure, run
from benchmarks.measures import Sample
from benchmarks.prompts import Shape
from benchmarks.serve import main
from tests.support.fake_openai import answer, openai_server

SHAPE = Shape("completions", 4, 3, (1, 100))
BODY = {"max_tokens": 3}


async def sampled(url: str) -> Sample:
    return await asyncio.wait_for(measure(f"{url}/v1/completions", BODY, 10.0), 20)


async def test_a_stream_is_timed_message_by_message() -> None:
    async with openai_server(answer(3)) as url:
        one = await sampled(url)
    assert one.error is None
    assert (len(one.arrivals), one.output_tokens, one.prompt_tokens) == (3, 3, 4)
    assert one.sent <= one.arrivals[0] <= one.arrivals[-1] <= one.ended


async def test_every_request_is_sent_once_whatever_the_concurrency() -> None:
    ticks: list[int] = []
    async with openai_server(answer(3)) as url:
        bodies = make_bodies(SHAPE, "tiny", 7, seed=1)
        samples = await run(url, bodies, SHAPE, 3, 10.0, lambda: ticks.append(1))
    assert len(samples) == len(ticks) == 7
    assert all(s.error is None for s in samples)


async def test_the_servers_own_words_are_the_error() -> None:
    async with openai_server([], status=429) as url:
        assert (await sampled(url)).error == "429: no room"


async def test_a_short_answer_is_an_error() -> None:
    async with openai_server(answer(2)) as url:
        assert (await sampled(url)).error == "2 of 3 tokens"


async def test_a_stream_without_its_end_is_an_error() -> None:
    async with openai_server(answer(3, done=False)) as url:
        assert (await sampled(url)).error == "the stream ended without [DONE]"


async def test_a_broken_connection_is_an_error() -> None:
    async with openai_server(answer(3, done=False), cut=True) as url:
        assert (await sampled(url)).error == "the connection broke in the answer"


async def test_an_error_inside_the_stream_is_an_error() -> None:
    events = [b'data: {"error": {"message": "worker lost"}}\n\n']
    async with openai_server(events) as url:
        assert (await sampled(url)).error == "error in the stream: worker lost"


async def test_nobody_listening_is_an_error() -> None:
    async with openai_server([]) as url:
        pass
    assert (await sampled(url)).error is not None


async def test_the_model_is_asked_for() -> None:
    async with openai_server([]) as url:
        assert await first_model(url) == "tiny"


@pytest.mark.parametrize("words", [["--pair", "URL", "URL", "--rounds", "2"], ["--url", "URL"]])
async def test_the_command_prints_one_json_object(words: list[str]) -> None:
    async with openai_server(answer(3)) as url:
        sizes = ["--output-len", "3", "--requests", "4", "--seed", "5", "--json"]
        args = [url if word == "URL" else word for word in words] + sizes
        result = await asyncio.to_thread(CliRunner().invoke, main, args)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["plan"]["seed"] == 5
    assert found.get("requests") == 4 or found["ratios"]["ttft"]["rounds"] == 2


async def test_errors_end_the_command_with_1() -> None:
    async with openai_server(answer(1)) as url:
        args = ["--url", url, "--output-len", "3", "--requests", "2", "--warmup", "0"]
        result = await asyncio.to_thread(CliRunner().invoke, main, args)
    assert result.exit_code == 1
    assert "2 x 1 of 3 tokens" in result.stdout
