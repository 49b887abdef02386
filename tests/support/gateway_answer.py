"""A pair of scripted workers that answers every request alike."""

from collections.abc import Sequence

from baton.core.token_record import FinishReason
from tests.support.gateway_cluster import GatewayUnderTest
from tests.support.gateway_fake_workers import answering, prefilling
from tests.support.gateway_tokenizer import END_OF_TURN

TOKENS = [40, 41, 300, 301, 42, END_OF_TURN]


async def answering_pair(gateway: GatewayUnderTest, tokens: Sequence[int] = TOKENS) -> None:
    prefill, decode = await gateway.pair()
    prefill.prefill_script = prefilling(tokens[:1])
    decode.decode_script = answering(tokens, FinishReason.STOP)
