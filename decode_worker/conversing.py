"""One gateway's stream, on which it asks for answers and is told them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

from baton.v1 import decode_pb2 as pb
from decode_worker.conversation import Conversation, Generate


async def converse(
    generate: Generate, wants: AsyncIterable[pb.ConverseRequest], leaves: asyncio.Event
) -> AsyncGenerator[pb.ConverseResponse, None]:
    """Ends once no answer is told any more, after `leaves` is set or the gateway wants no further.
    What is still written when it is closed is dropped.
    """
    conversation = Conversation(generate)
    asides = [
        asyncio.create_task(_heed(wants, conversation)),
        asyncio.create_task(_leave(leaves, conversation)),
    ]
    try:
        async with aclosing(conversation.messages()) as messages:
            async for message in messages:
                yield message
    finally:
        for aside in asides:
            aside.cancel()
        await asyncio.gather(*asides, conversation.drop(), return_exceptions=True)


async def _heed(wants: AsyncIterable[pb.ConverseRequest], conversation: Conversation) -> None:
    async for want in wants:
        match want.WhichOneof("want"):
            case "ask":
                conversation.begin(want.ask)
            case "pause":
                conversation.pause(want.pause)
            case "resume":
                conversation.resume(want.resume)
            case "cancel":
                conversation.cancel(want.cancel)
    conversation.leave()


async def _leave(leaves: asyncio.Event, conversation: Conversation) -> None:
    await leaves.wait()
    conversation.leave()
