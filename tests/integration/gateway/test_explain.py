"""Why a request went where it went, as its client can ask."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from baton.core.errors import UnavailableError
from baton.core.worker_info import Role
from baton.v1 import decode_pb2
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import DecodeScript, answering
from tests.support.gateway_reading import CHAT, HI, TEXT

TERMS = {
    *("wait_ms", "read_ms", "calls_ms", "exposed_ms", "seat_ms", "itl_ms"),
    *("answer_tokens", "others_ms"),
}


def path_of(request_id: str) -> str:
    return f"/v1/requests/{request_id}/placement"


def reporting(script: DecodeScript) -> DecodeScript:
    async def reported(
        request: decode_pb2.GenerateRequest,
    ) -> AsyncIterator[decode_pb2.GenerateResponse]:
        async for response in script(request):
            yield response
            if response.HasField("reserved"):
                moved = decode_pb2.TransferReport(bytes=4096, tokens=40, exposed_ms=1.25)
                yield decode_pb2.GenerateResponse(transferred=moved)

    return reported


async def breaking(
    request: decode_pb2.GenerateRequest,
) -> AsyncIterator[decode_pb2.GenerateResponse]:
    raise UnavailableError("gone")
    yield


async def explained(gateway: GatewayUnderTest, request_id: str, **headers: str) -> dict[str, Any]:
    reply = await gateway.client.get(path_of(request_id), headers=headers)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def test_candidates_terms_and_what_was_measured_are_told(model_folder: Path) -> None:
    async with running_gateway(model_folder, placement_policy="auto") as gateway:
        _, decode = await gateway.pair()
        decode.decode_script = reporting(answering([5, 6, 7]))
        headers = {"x-request-id": "r1", "x-slo-ttft-ms": "60000", "x-llm-d-slo-tpot-ms": "500"}
        reply = await gateway.client.post(CHAT, json={"messages": HI}, headers=headers)
        assert reply.headers["x-baton-placement"] == "decode=d0; reason=local"
        assert reply.json()["kv_transfer_params"]["reason"] == "local"
        told = await explained(gateway, "r1")
        assert (told["id"], told["object"]) == ("r1", "placement")
        assert told["objectives"] == {"ttft_ms": 60000.0, "itl_ms": 500.0}
        [one] = told["attempts"]
        assert (one["prompt"], one["attempt"], one["reason"]) == (0, 1, "local")
        assert (one["prefill_worker"], one["decode_worker"]) == (None, "d0")
        assert one["considered"] == 2
        alone, pair = one["candidates"]
        assert (alone["prefill_worker"], alone["decode_worker"]) == (None, "d0")
        assert (pair["prefill_worker"], pair["decode_worker"]) == ("p0", "d0")
        assert set(alone["terms"]) == TERMS
        assert 0 < alone["total_ms"] < pair["total_ms"]
        assert one["predicted"]["cached_tokens"] == 0
        assert one["predicted"]["ttft_ms"] == alone["ttft_ms"] > 0
        assert one["actual"]["cached_tokens"] == 4
        assert one["actual"]["ttft_ms"] > 0
        assert one["actual"]["itl_ms"] >= 0


async def test_every_attempt_is_there_and_the_header_has_the_last(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        _, broken = await gateway.pair()
        broken.decode_script = breaking
        another = await gateway.join("d1", Role.DECODE)
        another.decode_script = reporting(answering([5, 6, 7]))
        body = {"messages": HI, "stream": True}
        reply = await gateway.client.post(CHAT, json=body, headers={"x-request-id": "r2"})
        assert reply.headers["x-baton-placement"] == "prefill=p0; decode=d1; reason=prefix_aware"
        first, second = (await explained(gateway, "r2"))["attempts"]
        assert (first["decode_worker"], second["decode_worker"]) == ("d0", "d1")
        assert first["actual"] == {
            "ttft_ms": None,
            "itl_ms": None,
            "exposed_ms": None,
            "cached_tokens": None,
        }
        assert second["actual"]["exposed_ms"] == 1.25
        metrics = (await gateway.client.get("/metrics")).text
        assert 'baton_placements_total{engine="0",model_name="tiny",reason="prefix_aware"} 2.0' in (
            metrics
        )
        assert 'baton_predicted_ttft_ratio_count{engine="0",model_name="tiny"} 1.0' in metrics


async def test_an_id_may_have_slashes(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        body = {"messages": HI, "request_id": "team/a/7"}
        await gateway.client.post(CHAT, json=body)
        for written in ("team/a/7", "team%2Fa%2F7"):
            assert (await explained(gateway, written))["id"] == "team/a/7"


async def test_several_prompts_are_told_apart(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        headers = {"x-request-id": "r3"}
        await gateway.client.post(TEXT, json={"prompt": [[5], [6, 7]]}, headers=headers)
        attempts = (await explained(gateway, "r3"))["attempts"]
        sizes = {one["prompt"]: one["prompt_tokens"] for one in attempts}
        assert sorted(sizes.values()) == [1, 2]


async def test_a_client_sees_only_its_own_and_only_the_latest(model_folder: Path) -> None:
    one, two = ({"Authorization": f"Bearer {key}"} for key in ("one", "two"))
    async with running_gateway(
        model_folder, api_key=("one", "two"), placement_history=2
    ) as gateway:
        await gateway.pair()
        for request_id in ("a", "b"):
            headers = {**one, "x-request-id": request_id}
            await gateway.client.post(CHAT, json={"messages": HI}, headers=headers)
        assert (await explained(gateway, "a", **one))["id"] == "a"
        assert (await gateway.client.get(path_of("a"), headers=two)).status_code == 404
        assert (await gateway.client.get(path_of("a"))).status_code == 401
        headers = {**two, "x-request-id": "b"}
        await gateway.client.post(CHAT, json={"messages": HI}, headers=headers)
        reply = await gateway.client.get(path_of("a"), headers=one)
        assert reply.status_code == 404
        assert "--placement-history" in reply.json()["error"]["message"]
        assert (await explained(gateway, "b", **one))["id"] == "b"


async def test_an_objective_that_is_no_number_is_refused_by_its_header(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        headers = {"x-slo-itl-ms": "fast"}
        reply = await gateway.client.post(CHAT, json={"messages": HI}, headers=headers)
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == "x-slo-itl-ms"
        assert "x-baton-placement" not in reply.headers
