"""A gateway in front of workers of two models, on real workers: each answers as if it were alone."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from baton.core.worker_info import Role
from baton.engine.runners.hash_model import HashModelConfig
from baton.model_source import digest_of_files
from gateway.prompts.tokenizer import load_tokenizer
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_reading import CHAT, TEXT, events, read_chat
from tests.support.gateway_tokenizer import CHATML, write_tokenizer
from tests.support.metrics_page import MetricsPage
from tests.support.served_cluster import MODEL, ServedCluster

HI = [{"role": "user", "content": "tell me <|second|>"}]
BODY: dict[str, Any] = {"messages": HI, "seed": 11, "temperature": 0.9, "max_tokens": 24}
SECOND = replace(MODEL, model_key="second", vocab_size=384)
NAMES = ["tiny", "alias", "second", "other"]


@pytest.fixture(scope="session")
def second_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another vocabulary, whose template begins otherwise."""
    folder = tmp_path_factory.mktemp("second")
    write_tokenizer(folder, "<|second|>" + CHATML, ["<|second|>"])
    (folder / "config.json").write_text(json.dumps({"vocab_size": 512}))
    return folder


def listed(*entries: dict[str, Any]) -> str:
    return json.dumps({"models": entries})


@asynccontextmanager
async def two_models(first: Path, second: Path, **settings: Any) -> AsyncIterator[ServedCluster]:
    """Workers p0 and d0 of the first, p1 and d1 of the second."""
    file = listed({"model": str(second), "served-model-name": ["second", "other"]})
    async with running_gateway(first, models_file=file, **settings) as gateway:
        cluster = ServedCluster(gateway)
        digest = load_tokenizer(second).digest
        try:
            for role in (Role.PREFILL, Role.DECODE):
                await cluster.join(f"{role.value[0]}0", role)
                await cluster.join(f"{role.value[0]}1", role, model=SECOND, tokenizer_digest=digest)
            cluster.hurry()
            yield cluster
            await cluster.until_idle()
        finally:
            await cluster.close()


@pytest.fixture
async def both(model_folder: Path, second_folder: Path) -> AsyncIterator[ServedCluster]:
    async with two_models(model_folder, second_folder) as cluster:
        yield cluster


@asynccontextmanager
async def alone(folder: Path, model: HashModelConfig) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway that serves nothing else."""
    async with running_gateway(folder) as gateway:
        cluster = ServedCluster(gateway)
        try:
            for role in (Role.PREFILL, Role.DECODE):
                await cluster.join(role.value, role, model=model)
            cluster.hurry()
            yield gateway.client
        finally:
            await cluster.close()


def client_of(cluster: ServedCluster) -> httpx.AsyncClient:
    return cluster.gateway.client


async def ask(cluster: ServedCluster, path: str = CHAT, **body: Any) -> dict[str, Any]:
    answer = await client_of(cluster).post(path, json=body)
    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    return read


async def refused(cluster: ServedCluster, status: int, **body: Any) -> str:
    answer = await client_of(cluster).post(CHAT, json={**BODY, **body})
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


async def test_the_list_of_models_is_the_union(
    both: ServedCluster, model_folder: Path, second_folder: Path
) -> None:
    client = client_of(both)
    cards = (await client.get("/v1/models")).json()["data"]
    assert [card["id"] for card in cards] == NAMES
    roots = [str(model_folder)] * 2 + [str(second_folder)] * 2
    assert [card["root"] for card in cards] == roots
    for card in cards:
        assert (await client.get(f"/v1/models/{card['id']}")).json() == card
    unknown = await client.get("/v1/models/third")
    assert unknown.status_code == 404
    assert "`third` does not exist. Served: tiny, alias, second, other." in unknown.text


async def test_each_model_answers_as_it_does_alone(
    both: ServedCluster, model_folder: Path, second_folder: Path
) -> None:
    """Their templates, vocabularies and workers differ, so no answer could be the other's."""
    told = {}
    for name, folder, model in (
        ("tiny", model_folder, MODEL),
        ("second", second_folder, SECOND),
    ):
        async with alone(folder, model) as client:
            told[name] = (await client.post(CHAT, json=BODY)).json()
        mine = await ask(both, **BODY, model=name)
        assert mine["model"] == name
        assert mine["choices"] == told[name]["choices"]
        assert mine["usage"] == told[name]["usage"]
    assert told["tiny"]["choices"] != told["second"]["choices"]
    for name, answered in (("", "tiny"), ("alias", "tiny"), ("other", "second")):
        same = await ask(both, **BODY, model=name)
        assert (same["model"], same["choices"]) == (answered, told[answered]["choices"])
    nameless = await ask(both, **BODY)
    assert nameless["choices"] == told["tiny"]["choices"]


async def test_every_endpoint_takes_the_model(both: ServedCluster) -> None:
    client = client_of(both)
    whole = await ask(both, **BODY, model="second")
    streamed = await client.post(CHAT, json={**BODY, "model": "second", "stream": True})
    chunks = events(streamed.text)
    assert {chunk["model"] for chunk in chunks} == {"second"}
    assert read_chat(chunks)[0].content == whole["choices"][0]["message"]["content"]
    text = await ask(both, TEXT, model="second", prompt="tell me", max_tokens=4)
    assert text["model"] == "second"
    assert text["kv_transfer_params"]["decode_worker"] == "d1"
    messages = await ask(both, "/v1/messages", model="second", messages=HI, max_tokens=4)
    assert messages["model"] == "second"
    response = await ask(both, "/v1/responses", model="second", input="hi", max_output_tokens=4)
    assert response["model"] == "second"
    further = await ask(
        both,
        "/v1/responses",
        model="tiny",
        input="and?",
        max_output_tokens=4,
        previous_response_id=response["id"],
    )
    assert further["model"] == "tiny"
    counted = await ask(both, "/v1/messages/count_tokens", model="second", messages=HI)
    assert counted["input_tokens"] == whole["usage"]["prompt_tokens"]


async def test_text_becomes_the_models_own_tokens_and_back(both: ServedCluster) -> None:
    for name, many in (("tiny", False), ("second", True)):
        tokens = (await ask(both, "/tokenize", model=name, prompt="<|second|>"))["tokens"]
        assert (len(tokens) == 1) is many
        back = await ask(both, "/detokenize", model=name, tokens=tokens)
        assert back["prompt"] == "<|second|>"


async def test_an_unknown_model_is_told_all_that_are_served_behind_a_bad_body(
    both: ServedCluster,
) -> None:
    assert await refused(both, 404, model="third") == (
        "The model `third` does not exist. Served: tiny, alias, second, other."
    )
    assert "max_tokens" in await refused(both, 400, model="third", max_tokens=-1)


async def test_a_pin_to_another_models_worker_is_refused_by_name(both: ServedCluster) -> None:
    for pin, worker in (("decode_worker", "d1"), ("prefill_worker", "p1")):
        message = await refused(both, 400, model="tiny", kv_transfer_params={pin: worker})
        assert message == f"kv_transfer_params.{pin}: {worker} serves another model: second"
        pinned = await ask(both, **BODY, model="second", kv_transfer_params={pin: worker})
        assert pinned["kv_transfer_params"][pin] == worker
    message = await refused(both, 400, kv_transfer_params={"decode_worker": "d9"})
    assert message.endswith("no worker of this cluster is d9")


async def test_a_handle_goes_on_with_its_own_model_alone(both: ServedCluster) -> None:
    begun = await ask(
        both, **{**BODY, "max_tokens": 3}, model="tiny", kv_transfer_params={"resume": True}
    )
    handle = {"resume": begun["kv_transfer_params"]["resume"]}
    message = await refused(both, 400, model="second", kv_transfer_params=handle)
    assert message == "kv_transfer_params.resume: the answer was begun by another model"
    rest = await ask(both, **BODY, model="tiny", kv_transfer_params=handle)
    whole = await ask(both, **BODY, model="tiny")
    told = [one["choices"][0]["message"]["content"] for one in (begun, rest, whole)]
    assert told[0] + told[1] == told[2]


async def test_metrics_of_each_model_bear_its_name(both: ServedCluster) -> None:
    before = MetricsPage((await client_of(both).get("/metrics")).text)
    for name in ("tiny", "second"):  # on the page before anything has happened
        assert [*before.samples("vllm:prompt_tokens_total", model_name=name)]
        assert [*before.samples("baton_queued_requests", model_name=name)]
        assert [*before.samples("baton_prefix_index_size", model_name=name)]
    read = (await ask(both, **BODY, model="other"))["usage"]["prompt_tokens"]
    await both.until_idle()
    text = (await client_of(both).get("/metrics")).text
    page = MetricsPage(text)
    assert page.value("vllm:prompt_tokens_total", model_name="second") == read
    assert page.value("vllm:prompt_tokens_total", model_name="tiny") == 0
    assert page.value("baton_tenant_prompt_tokens_total", model_name="second") == read
    assert page.value("baton_placements_total", model_name="second") == 1
    types = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


async def test_what_the_cluster_tells_of_itself_names_the_model(both: ServedCluster) -> None:
    client = client_of(both)
    answer = await client.post(
        CHAT, json={**BODY, "model": "second"}, headers={"X-Request-Id": "mine"}
    )
    assert answer.status_code == 200
    placement = (await client.get("/v1/requests/mine/placement")).json()
    assert placement["model"] == "second"
    considered = {one["decode_worker"] for one in placement["attempts"][0]["candidates"]}
    assert considered == {"d1"}
    state = (await client.get("/ui/state")).json()
    assert [request["model"] for request in state["requests"]] == ["second"]
    assert [model["name"] for model in state["models"]] == ["tiny", "second"]
    served = {worker["id"]: worker["served_model"] for worker in state["workers"]}
    assert served == {"p0": "tiny", "d0": "tiny", "p1": "second", "d1": "second"}


async def test_a_model_whose_workers_are_gone_is_503_and_the_other_answers(
    both: ServedCluster,
) -> None:
    client = client_of(both)
    await both.kill("d1")
    second = both.gateway.gateway.models.named("second")
    await both.gateway.until(lambda: not second.workers.can_answer)
    headers = {"x-baton-timeout-ms": "100"}
    gone = await client.post(CHAT, json={**BODY, "model": "second"}, headers=headers)
    assert (gone.status_code, gone.headers["x-baton-reason"]) == (503, "no_worker")
    assert await ask(both, **BODY, model="tiny")
    assert [card["id"] for card in (await client.get("/v1/models")).json()["data"]] == NAMES
    assert (await client.get("/health")).status_code == 200
    assert (await client.get("/health", params={"model": "tiny"})).status_code == 200
    assert (await client.get("/health", params={"model": "other"})).status_code == 503
    assert (await client.get("/health", params={"model": "third"})).status_code == 404
    told = {one["name"]: one for one in (await client.get("/status")).json()["models"]}
    assert [told[name]["takes_requests"] for name in ("tiny", "second")] == [True, False]
    await both.kill("d0")
    await both.gateway.until(lambda: not both.gateway.gateway.models.can_answer)
    assert (await client.get("/health")).status_code == 503


async def test_a_full_line_of_one_model_does_not_touch_the_other(
    model_folder: Path, second_folder: Path
) -> None:
    async with two_models(model_folder, second_folder, max_queued_requests=0) as cluster:
        worker = cluster.workers["d0"].worker
        second = cluster.gateway.gateway.models.named("second")
        long = {**BODY, "ignore_eos": True, "max_tokens": 3000}
        blocks = worker.blocks.total
        cluster.slow_down()
        async with client_of(cluster).stream(
            "POST", CHAT, json={**long, "n": blocks // 3, "stream": True}
        ) as running:
            assert running.status_code == 200
            await anext(running.aiter_lines())
            overloaded = await client_of(cluster).post(CHAT, json={**long, "n": blocks // 2})
            assert (overloaded.status_code, overloaded.headers["x-baton-reason"]) == (
                429,
                "queue_full",
            )
            page = MetricsPage((await client_of(cluster).get("/metrics")).text)
            refused = {"model_name": "tiny", "reason": "queue_full"}
            assert page.value("baton_retry_after_seconds_count", **refused) == 1
            assert await ask(cluster, **BODY, model="second")
            assert len(second.queue) == 0
        cluster.hurry()


async def test_two_fine_tunes_of_one_tokenizer_are_never_mixed(
    model_folder: Path, tmp_path: Path
) -> None:
    def tune(name: str) -> tuple[Path, str]:
        folder = tmp_path / name
        folder.mkdir()
        for file in model_folder.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        hash_model = json.loads(replace(MODEL, model_key=name).to_json())
        (folder / "config.json").write_text(json.dumps(hash_model))
        return folder, digest_of_files(folder)

    (first, files), (second, others) = tune("first"), tune("second")
    file = listed({"model": str(second), "served-model-name": "second"})
    async with running_gateway(first, models_file=file) as gateway:
        for role, letter in ((Role.PREFILL, "p"), (Role.DECODE, "d")):
            await gateway.join(f"{letter}0", role, model="b", files=others)
            await gateway.join(f"{letter}1", role, model="a", files=files)
            await gateway.join(f"{letter}2", role, model="c", files="of a third one")
        assert await served_by(gateway) == {
            **dict.fromkeys(("p0", "d0"), "second"),
            **dict.fromkeys(("p1", "d1"), "tiny"),
            **dict.fromkeys(("p2", "d2"), None),
        }
        for name, worker in (("tiny", "d1"), ("second", "d0")):
            answer = await gateway.client.post(CHAT, json={"messages": HI, "model": name})
            assert answer.json()["kv_transfer_params"]["decode_worker"] == worker


async def served_by(gateway: GatewayUnderTest) -> dict[str, str | None]:
    workers = (await gateway.client.get("/status")).json()["workers"]
    return {worker["id"]: worker["served_model"] for worker in workers}
