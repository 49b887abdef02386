"""Constraints of an answer over HTTP: what workers are told, and 400 before the first byte."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_reading import CHAT, HI, TEXT

WRONG: list[dict[str, Any]] = [
    {"structured_outputs": {"json": {"type": "thing"}}},
    {"structured_outputs": {"json": "{"}},
    {"structured_outputs": {"regex": "("}},
    {"structured_outputs": {"choice": []}},
    {"structured_outputs": {"grammar": "start: nothing"}},
    {"structured_outputs": {"grammar": "root ::= ("}},
    {"structured_outputs": {"structural_tag": "{}"}},
    {"structured_outputs": {"json": {}, "whitespace_pattern": "("}},
    {"structured_outputs": {}},
    {"response_format": {"type": "json_schema"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": None}}},
    {"response_format": {"type": "structural_tag", "format": {"type": "odd"}}},
    {"guided_regex": "("},
    {"guided_choice": []},
]


CONFIG = {"disable_any_whitespace": True}


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(model_folder, structured_outputs_config=CONFIG) as gateway:
        await gateway.pair()
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def refusing(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    """One for all: no worker hears of anything that is refused."""
    async with running_gateway(model_folder, structured_outputs_config=CONFIG) as gateway:
        await gateway.pair()
        yield gateway


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fields", WRONG, ids=json.dumps)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_constraint_that_nothing_could_follow_is_400_with_its_name(
    refusing: GatewayUnderTest, fields: dict[str, Any], stream: bool
) -> None:
    for path, body in ((CHAT, {"messages": HI}), (TEXT, {"prompt": "hi"})):
        response = await refusing.client.post(path, json={**body, **fields, "stream": stream})

        assert response.status_code == 400, response.text
        error = response.json()["error"]
        assert (error["type"], error["param"]) == ("BadRequestError", next(iter(fields)))
    assert all(not worker.calls.all for worker in refusing.workers)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"structured_outputs": {"regex": "[ab]+"}}, "/[ab]+/"),
        ({"guided_choice": ["ja", "nein"]}, '"ja" | "nein"'),
        ({"response_format": {"type": "json_object"}}, '"whitespace_flexible": false'),
    ],
)
async def test_both_workers_are_told_the_same_grammar(
    served: GatewayUnderTest, fields: dict[str, Any], part: str
) -> None:
    response = await served.client.post(CHAT, json={"messages": HI, **fields})
    told = [worker.calls.all[0].request.sampling.grammar.text for worker in served.workers]

    assert response.status_code == 200, response.text
    assert part in told[0]
    assert told[0] == told[1]
    assert "x-baton-ignored" not in response.headers


async def test_a_free_answer_has_no_grammar(served: GatewayUnderTest) -> None:
    body = {"messages": HI, "response_format": {"type": "text"}}
    response = await served.client.post(CHAT, json=body)

    assert response.status_code == 200
    assert not served.workers[0].calls.all[0].request.sampling.HasField("grammar")


@pytest.mark.parametrize("strict", [True, False])
async def test_workers_are_told_of_strict_tools_that_the_model_may_call(
    served: GatewayUnderTest, strict: bool
) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "weather", "parameters": parameters, "strict": strict}
    tools = [{"type": "function", "function": function}]
    response = await served.client.post(CHAT, json={"messages": HI, "tools": tools})
    told = [worker.calls.all[0].request.sampling for worker in served.workers]

    assert response.status_code == 200, response.text
    assert [one.HasField("grammar") for one in told] == [strict, strict]
    assert all(("weather" in one.grammar.text) == strict for one in told)
