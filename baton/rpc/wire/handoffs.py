"""Where KV blocks, cached prefixes and encoded images are pulled from."""

from baton.core.handoff import Epoch, Handoff, PrefixSource
from baton.v1 import decode_pb2, prefill_pb2, types_pb2


def epoch_to_pb(epoch: Epoch) -> types_pb2.Epoch:
    return types_pb2.Epoch(instance_id=epoch.instance_id, serial=epoch.serial)


def epoch_from_pb(message: types_pb2.Epoch) -> Epoch:
    return Epoch(message.instance_id, message.serial)


def handoff_to_pb(handoff: Handoff) -> decode_pb2.Handoff:
    return decode_pb2.Handoff(
        transfer_id=handoff.transfer_id,
        ticket=handoff.ticket,
        address=handoff.address,
        instance_id=handoff.instance_id,
    )


def handoff_from_pb(message: decode_pb2.Handoff) -> Handoff:
    return Handoff(message.transfer_id, message.ticket, message.address, message.instance_id)


def prefix_source_to_pb(source: PrefixSource) -> prefill_pb2.PrefixSource:
    return prefill_pb2.PrefixSource(
        transfer_id=source.handoff.transfer_id,
        ticket=source.handoff.ticket,
        address=source.handoff.address,
        instance_id=source.handoff.instance_id,
        num_tokens=source.num_tokens,
    )


def prefix_source_from_pb(message: prefill_pb2.PrefixSource) -> PrefixSource:
    handoff = Handoff(message.transfer_id, message.ticket, message.address, message.instance_id)
    return PrefixSource(handoff, message.num_tokens)


def encoded_to_pb(handoff: Handoff) -> types_pb2.EncodedImages:
    """The hand-off that a prompt's images come by."""
    return types_pb2.EncodedImages(
        transfer_id=handoff.transfer_id,
        ticket=handoff.ticket,
        address=handoff.address,
        instance_id=handoff.instance_id,
    )


def encoded_from_pb(message: types_pb2.EncodedImages) -> Handoff:
    return Handoff(message.transfer_id, message.ticket, message.address, message.instance_id)
