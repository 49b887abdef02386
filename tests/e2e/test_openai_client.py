"""The official client, under load, and what is left when it has gone."""

import asyncio

import openai
import pytest

from tests.support.cluster import RunningCluster
from tests.support.cluster_state import nothing_is_held

pytestmark = pytest.mark.asyncio(loop_scope="module")


def official(cluster: RunningCluster) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{cluster.url}/v1", api_key="unused", max_retries=0)


async def test_it_lists_the_model_and_talks_to_it(cluster: RunningCluster) -> None:
    async with official(cluster) as client:
        models = [model async for model in client.models.list()]
        assert (await client.models.retrieve(models[0].id)).id == models[0].id
        answer = await client.chat.completions.create(
            model=models[0].id, messages=[{"role": "user", "content": "Hello"}], max_tokens=12
        )
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 12
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.choices[0].message.role == "assistant"


@pytest.mark.timeout(180)
async def test_two_hundred_streams_sixteen_at_a_time_end_without_an_error(
    cluster: RunningCluster,
) -> None:
    gate = asyncio.Semaphore(16)

    async def one(client: openai.AsyncOpenAI, number: int) -> int:
        async with gate:
            stream = await client.chat.completions.create(
                model="",
                messages=[{"role": "user", "content": f"Question {number} " * (1 + number % 60)}],
                max_tokens=20,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"ignore_eos": True},
            )
            usage = [chunk.usage async for chunk in stream if chunk.usage]
            assert len(usage) == 1
            return usage[0].completion_tokens

    async with official(cluster) as client:
        counts = await asyncio.gather(*(one(client, number) for number in range(200)))
    assert counts == [20] * 200
    await nothing_is_held(cluster)


async def test_streams_that_are_dropped_in_the_middle_leave_nothing(
    cluster: RunningCluster,
) -> None:
    async def drop(client: openai.AsyncOpenAI, after: int) -> None:
        stream = await client.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": "word " * 300}],
            max_tokens=4000,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        seen = 0
        async for _ in stream:
            seen += 1
            if seen > after:
                await stream.close()
                return

    async with official(cluster) as client:
        await asyncio.gather(*(drop(client, after) for after in range(12)))
    await nothing_is_held(cluster)
