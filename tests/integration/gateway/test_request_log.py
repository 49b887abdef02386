"""What is logged of requests: nothing that clients wrote, unless it is asked for."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.answers import request_log
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_reading import CHAT, TEXT
from tests.support.log_lines import log_lines

SECRET_WORDS = "the launch code is 0000"
ASKED = {"messages": [{"role": "user", "content": SECRET_WORDS}], "temperature": 0.25}
KEY = {"Authorization": "Bearer top-secret-key"}


@pytest.fixture(params=[None, 20], ids=["silent", "cut"])
async def served(
    request: pytest.FixtureRequest, model_folder: Path
) -> AsyncIterator[GatewayUnderTest]:
    on: dict[str, Any] = (
        {} if request.param is None else {"enable_log_requests": True, "max_log_len": 20}
    )
    async with running_gateway(model_folder, api_key=("top-secret-key",), **on) as gateway:
        await gateway.pair()
        yield gateway


@pytest.mark.parametrize("served", [None], indirect=True)
async def test_prompts_and_keys_are_not_logged(
    served: GatewayUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gateway")
    caplog.set_level(logging.DEBUG, "baton")
    caplog.set_level(logging.DEBUG, "uvicorn")
    for body in (ASKED, ASKED | {"stream": True}, ASKED | {"n": 0}):
        await served.client.post(CHAT, json=body, headers=KEY)
    await served.client.post(CHAT, json=ASKED, headers={"Authorization": "Bearer top-secret-kez"})
    assert "launch" not in caplog.text
    assert "top-secret" not in caplog.text


@pytest.mark.parametrize("served", [20], indirect=True)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_is_logged_has_two_lines(
    served: GatewayUnderTest, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    headers = KEY | {"X-Request-Id": "r1"}
    for path, body in ((CHAT, ASKED), (TEXT, {"prompt": SECRET_WORDS, "temperature": 0.25})):
        with log_lines(request_log.logger.name) as lines:
            answer = await served.client.post(path, json=body | {"stream": stream}, headers=headers)
        assert answer.status_code == 200
        assert [line["request_id"] for line in lines] == ["r1", "r1"]
        asked, answered = [line["message"] for line in lines]
        assert asked.startswith("asks with ")
        assert "temperature=0.25" in asked
        assert SECRET_WORDS not in asked
        assert "characters)" in asked
        assert answered.startswith("answered with 3 tokens in ")
        assert answered.endswith("finish reason length")
        assert ("the first after" in answered) is stream
    assert "top-secret" not in caplog.text
