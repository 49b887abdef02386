"""`baton up --models-file`: two real models, each answered by workers of its own."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.baton_command import baton_process
from tests.support.clients import Client
from tests.support.cluster import running_cluster
from tests.support.steady_load import steady_load
from tests.support.two_models import SHOUT, make_first, make_second, models_file, pool

CHATS = ("tell me of the sea", "Grüße aus München", "one, two, three, " * 20)
SECRET = "of the cluster"
POOL = pool(SECRET)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_first(tmp_path_factory.mktemp("models") / "first")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_second(tmp_path_factory.mktemp("models") / "second")


async def answers(client: Client, **fields: Any) -> list[Any]:
    told = []
    for chat in CHATS:
        messages = [{"role": "user", "content": chat}]
        body = {"messages": messages, "max_tokens": 24, "temperature": 0, **fields}
        reply = await client.post("/v1/chat/completions", body)
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        told.append((answer["choices"][0]["message"], answer["usage"]["prompt_tokens"]))
    return told


@pytest.mark.timeout(240)
async def test_two_models_answer_as_each_does_alone_and_one_survives_the_others_loss(
    first: Path, second: Path, tmp_path: Path
) -> None:
    alone = {}
    for name, model in (("first", first), ("second", second)):
        told = POOL | (SHOUT if model is second else {})
        async with running_cluster(model, **told) as one, Client(one.url) as client:
            alone[name] = await answers(client)
    file = models_file(tmp_path, second, decode=2)
    async with (
        running_cluster(first, served_model_name="first", models_file=file, **POOL) as both,
        Client(both.url) as client,
    ):
        await both.until_members(
            *("prefill-0", "decode-0"),
            *("second-prefill-0", "second-decode-0", "second-decode-1"),
        )
        assert "models: first, second" in both.output
        cards = (await client.http.get("/v1/models")).json()["data"]
        assert [(card["id"], card["root"]) for card in cards] == [
            ("first", str(first)),
            ("second", str(second)),
            ("org/second", str(second)),
        ]
        assert cards[1]["max_model_len"] == 512
        assert await answers(client) == alone["first"]
        assert await answers(client, model="org/second") == alone["second"]
        async with steady_load([both.url]) as load:
            await both.kill("second-decode-0")
            await load.more(20)
            assert await answers(client, model="second") == alone["second"]
            await both.until_restarted("second-decode-0")
            await load.more(20)
        assert await answers(client, model="second") == alone["second"]
        env = {"BATON_CLUSTER_SECRET": SECRET, "BATON_URL": both.url}
        flip = await baton_process("flip", "second-decode-1", "prefill", "--wait", env=env)
        assert flip.exit_code == 0, flip.stderr
        served = {worker["id"]: worker["served_model"] for worker in await client.workers()}
        assert served["second-decode-1"] == "second"
        assert await answers(client, model="second") == alone["second"]
