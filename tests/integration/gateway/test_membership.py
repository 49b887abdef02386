"""Who may be used, and what the pages for operators say of it."""

from pathlib import Path

from baton import __version__
from baton.core.worker_info import Role, WorkerState
from gateway.placing.speed_model import UNKNOWN
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_members import make_load
from tests.support.gateway_reading import CHAT, HI

NO_WORK = {
    "steps": 0,
    "seconds": 0.0,
    "sequences": 0,
    "context_tokens": 0,
    "read_tokens": 0,
    "read_pairs": 0.0,
}


async def health(gateway: GatewayUnderTest) -> int:
    return (await gateway.client.get("/health")).status_code


async def states(gateway: GatewayUnderTest) -> dict[str, str]:
    status = (await gateway.client.get("/status")).json()
    return {worker["id"]: worker["state"] for worker in status["workers"]}


async def test_health_follows_the_decode_workers(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        assert await health(gateway) == 503
        await gateway.join("p0", Role.PREFILL)
        assert await health(gateway) == 503
        decode = await gateway.join("d0", Role.DECODE)
        assert await health(gateway) == 200
        draining = make_load(state=WorkerState.DRAINING)
        await decode.set_load(draining)
        await gateway.until(lambda: gateway.gateway.models.first.workers.all()[0].load == draining)
        assert await health(gateway) == 503
        assert await states(gateway) == {"d0": "draining", "p0": "ready"}
        await decode.stop()
        await gateway.until_gone("d0")
        assert await states(gateway) == {"p0": "ready"}


async def test_the_status_page_tells_all_of_a_worker(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        decode = await gateway.join("d0", Role.DECODE)
        load = make_load(running=3, waiting=2, free=75)
        await decode.set_load(load)
        await gateway.until(lambda: gateway.gateway.models.first.workers.all()[0].load == load)
        status = (await gateway.client.get("/status")).json()
        assert status == {
            "model": str(model_folder),
            "models": [
                {
                    "name": "tiny",
                    "names": ["tiny", "alias"],
                    "root": str(model_folder),
                    "max_model_len": 1024,
                    "takes_requests": True,
                    "queued": 0,
                }
            ],
            "version": __version__,
            "takes_requests": True,
            "trouble": None,
            "queued": 0,
            "refused": 0,
            "priorities": [],
            "links": [],
            "workers": [
                {
                    "id": "d0",
                    "role": "decode",
                    "state": "ready",
                    "next_role": None,
                    "reason": None,
                    "pid": 1,
                    "restarts": 0,
                    "flips": 0,
                    "address": decode.address,
                    "metrics_url": "http://127.0.0.1:1/metrics",
                    "model": "model",
                    "served_model": "tiny",
                    "labels": {},
                    "running": 3,
                    "waiting": 2,
                    "unread_tokens": 0,
                    "read_per_second": None,
                    "written_per_second": None,
                    "kv_usage": 0.25,
                    "free_blocks": 75,
                    "total_blocks": 100,
                    "leased_blocks": 0,
                    "reserved_blocks": 0,
                    "steps": {"writing": NO_WORK, "reading": NO_WORK},
                    "costs": {
                        "step": UNKNOWN.step,
                        "sequence": UNKNOWN.sequence,
                        "context": UNKNOWN.context,
                        "unread_token": UNKNOWN.per_token,
                    },
                }
            ],
        }


async def test_a_worker_with_another_tokenizer_gets_nothing(model_folder: Path) -> None:
    async with running_gateway(model_folder, max_queue_seconds=0.05) as gateway:
        await gateway.join("d0", Role.DECODE, tokenizer="other")
        status = (await gateway.client.get("/status")).json()
        assert status["workers"][0]["state"] == "unusable"
        assert "tokenizer" in status["workers"][0]["reason"]
        assert await health(gateway) == 503
        response = await gateway.client.post(CHAT, json={"messages": HI})
        assert response.status_code == 503


async def test_workers_that_cannot_exchange_caches_are_not_paired(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        stranger = await gateway.join("p1", Role.PREFILL, model="other")
        assert await states(gateway) == {"d0": "ready", "p0": "ready", "p1": "unusable"}
        for _ in range(3):
            response = await gateway.client.post(CHAT, json={"messages": HI})
            assert response.status_code == 200
        assert stranger.calls.all == []


async def test_the_models_page_tells_the_length_that_all_workers_hold(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        cards = (await gateway.client.get("/v1/models")).json()["data"]
        assert [(card["id"], card["max_model_len"]) for card in cards] == [
            ("tiny", None),
            ("alias", None),
        ]
        await gateway.pair()
        card = (await gateway.client.get("/v1/models/alias")).json()
        assert (card["id"], card["object"], card["max_model_len"]) == ("alias", "model", 1024)


async def test_a_restarted_worker_is_used_again(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        _, decode = await gateway.pair()
        await decode.stop()
        await gateway.until_gone("d0")
        again = await gateway.join("d0", Role.DECODE)
        response = await gateway.client.post(CHAT, json={"messages": HI})
        assert response.status_code == 200
        assert len(again.calls.all) == 1
        status = (await gateway.client.get("/status")).json()
        assert {w["id"]: w["restarts"] for w in status["workers"]} == {"d0": 1, "p0": 0}


async def test_a_decode_worker_of_another_model_never_answers_in_place_of_one_that_is_gone(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        stranger = await gateway.join("d1", Role.DECODE, model="other")
        await prefill.stop()
        await decode.stop()
        await gateway.until_gone("p0")
        await gateway.until_gone("d0")
        assert await states(gateway) == {"d1": "unusable"}
        assert await health(gateway) == 503
        assert stranger.calls.all == []
