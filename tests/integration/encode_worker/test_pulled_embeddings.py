"""Embeddings from an encode worker over real gRPC and each data plane, bit for bit those of home."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch

from baton.core.embeddings import embeddings_fingerprint
from baton.core.errors import RefusedError, RequestError, TransferError
from baton.core.handoff import Handoff, new_id, new_ticket
from baton.core.prompt_images import PromptImage
from baton.engine.config import EngineConfig
from baton.engine.runners.torch_runner import TorchRunner, load_torch_runner
from baton.images.image_rules import rules_of
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from baton.v1 import encode_pb2
from baton.worker.image_pulls import ImagePulls
from baton.worker.settings import WorkerSettings
from tests.support.encode_worker import ServedEncoder, serving_encoder
from tests.support.images import image_file, prompt_with
from tests.support.models import make_vision

FILES = [image_file(60, 44, 1), image_file(120, 30, 2), image_file(20, 20, 3, "JPEG")]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module", params=["Qwen2VL", "Qwen2_5_VL"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vision(request.param, tmp_path_factory.mktemp("models") / "vl")


@pytest.fixture(scope="module")
def runner(folder: Path) -> TorchRunner:
    return load_torch_runner(str(folder), EngineConfig(kv_cache_memory_bytes=1 << 20, threads=1))


@pytest.fixture(scope="module")
def images(folder: Path) -> tuple[PromptImage, ...]:
    rules = rules_of(folder)
    assert rules is not None
    return prompt_with(rules, [3, FILES[0], FILES[1], 2, FILES[2]]).images


def settings(folder: Path, **fields: Any) -> WorkerSettings:
    fields.setdefault("image_cache_memory_bytes", 1 << 20)
    return WorkerSettings(model=str(folder), worker_id="e0", threads=1, **fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(folder: Path) -> AsyncIterator[ServedEncoder]:
    async with serving_encoder(settings(folder)) as served:
        yield served
        await served.until_idle()


def pulls_of(runner: TorchRunner, folder: Path, **fields: Any) -> ImagePulls:
    assert runner.images is not None
    fingerprint, width = runner.fingerprint, runner.images.width
    return ImagePulls("reader", fingerprint, width, 512, settings(folder, **fields))


def handoff_to(served: ServedEncoder) -> Handoff:
    info = served.worker.info
    return Handoff(new_id(), new_ticket(), info.address, info.instance_id)


def encode_request(
    handoff: Handoff, images: tuple[PromptImage, ...], name: str = ""
) -> encode_pb2.EncodeRequest:
    return encode_pb2.EncodeRequest(
        request_id=name or handoff.transfer_id,
        attempt=1,
        transfer_id=handoff.transfer_id,
        ticket=handoff.ticket,
        images=wire.images_to_pb(images, with_data=True),
    )


async def told(call: Any) -> list[str]:
    return [message.WhichOneof("event") async for message in call]


@pytest.mark.parametrize("plane", ["shm", "tcp", "grpc"])
async def test_a_pull_brings_what_home_would_have_made(
    served: ServedEncoder, runner: TorchRunner, folder: Path, images: Any, plane: str
) -> None:
    assert runner.images is not None
    assert served.worker.info.fingerprint == embeddings_fingerprint(
        runner.fingerprint, runner.images.width
    )
    pulls = pulls_of(runner, folder, kv_transport=plane, kv_checksums="on")
    handoff = handoff_to(served)
    pulling = asyncio.create_task(pulls.pull(handoff, images))  # may come before its Encode
    events = await told(served.encode(encode_request(handoff, images)))
    pulled = await pulling
    await pulls.close()

    assert events == ["lent", "encoded", "released"]
    assert pulled.transport == plane
    for image in images:
        came = pulled.embeddings[image.span.digest]
        assert torch.equal(came, runner.images.encode(image))
    assert served.worker.sender.counts().leased_blocks == 0
    assert pulls.results == {"pulled": 1, "not_needed": 0, "failed": 0}


async def test_a_damaged_file_ends_the_call_and_the_pull(
    served: ServedEncoder, runner: TorchRunner, folder: Path, images: Any
) -> None:
    broken = PromptImage(images[0].span, images[0].data[:60])
    pulls, handoff = pulls_of(runner, folder), handoff_to(served)
    # of a content that nobody has sent before, or it would be found
    broken = PromptImage(broken.span.__class__(0, 2, 3, b"new" * 10), broken.data)
    pulling = asyncio.create_task(pulls.pull(handoff, (broken,)))
    with pytest.raises(Exception, match="cannot be read") as raised:
        await told(served.encode(encode_request(handoff, (broken,))))
    assert isinstance(from_rpc_error(raised.value), RequestError)  # type: ignore[arg-type]
    with pytest.raises(TransferError, match="did not come"):
        await pulling
    await pulls.close()
    assert pulls.results["failed"] == 1


async def test_what_it_refuses_leaves_nothing(
    served: ServedEncoder, folder: Path, images: Any
) -> None:
    async with serving_encoder(settings(folder, image_cache_memory_bytes=16 * 64 * 4)) as small:
        with pytest.raises(Exception, match="not free here") as raised:
            await told(small.encode(encode_request(handoff_to(small), images)))
        assert isinstance(from_rpc_error(raised.value), RefusedError)  # type: ignore[arg-type]
        await small.until_idle()
        small.worker.desk.drain()
        with pytest.raises(Exception, match="draining"):
            await told(small.encode(encode_request(handoff_to(small), images)))


async def test_a_ticket_is_used_once_and_an_encode_that_is_cancelled_lends_nothing_more(
    served: ServedEncoder, runner: TorchRunner, folder: Path, images: Any
) -> None:
    handoff = handoff_to(served)
    call = served.encode(encode_request(handoff, images))
    first = await anext(aiter(call))
    assert first.WhichOneof("event") == "lent"
    pulls = pulls_of(runner, folder)
    forged = Handoff(handoff.transfer_id, new_ticket(), handoff.address, handoff.instance_id)
    with pytest.raises(TransferError):
        await pulls.pull(forged, images)
    call.cancel()
    await served.until_idle()
    with pytest.raises(TransferError):
        await pulls.pull(handoff, images)
    await pulls.close()
    assert served.worker.sender.counts().refused_tickets >= 1
