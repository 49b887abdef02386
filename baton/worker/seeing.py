"""The images of a prompt that is about to be read: encoded here, or come from an encode worker."""

import time
from collections.abc import Sequence

from baton.core.prompt_images import PromptImage
from baton.engine.work import Work
from baton.rpc import wire
from baton.v1 import types_pb2 as pb
from baton.worker.worker import Worker


async def see(
    worker: Worker, work: Work, images: Sequence[PromptImage], encoded: pb.EncodedImages | None
) -> tuple[Work, pb.ImagesPulled | None]:
    """The work with what stands for its images, and what came from elsewhere. `encoded`: the hand-off
    to get it by; None: the images' files are here.

    Raises RequestError for a file that cannot be read, TransferError where nothing came.
    """
    if encoded is None:
        return await worker.with_embeddings(work, images), None
    began = time.monotonic()
    source = wire.encoded_from_pb(encoded)
    work, pulled = await worker.with_embeddings_of(work, images, source)
    report = pb.ImagesPulled(milliseconds=1000 * (time.monotonic() - began))
    if pulled is not None:
        report.images = len(pulled.embeddings)
        report.bytes, report.transport = pulled.bytes, pulled.transport
        report.exposed_ms = pulled.exposed_ms
    return work, report
