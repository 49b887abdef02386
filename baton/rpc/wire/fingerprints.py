"""Fingerprints, and the layout of KV blocks in them."""

from baton.core.fingerprint import Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.v1 import types_pb2


def fingerprint_to_pb(fingerprint: Fingerprint) -> types_pb2.Fingerprint:
    return types_pb2.Fingerprint(
        protocol=fingerprint.protocol,
        model_digest=fingerprint.model_digest,
        revision=fingerprint.revision,
        tokenizer_digest=fingerprint.tokenizer_digest,
        dtype=fingerprint.dtype,
        layout=_layout_to_pb(fingerprint.layout),
        rope_digest=fingerprint.rope_digest,
        numeric_class=fingerprint.numeric_class,
    )


def fingerprint_from_pb(message: types_pb2.Fingerprint) -> Fingerprint:
    return Fingerprint(
        protocol=message.protocol,
        model_digest=message.model_digest,
        revision=message.revision,
        tokenizer_digest=message.tokenizer_digest,
        dtype=message.dtype,
        layout=_layout_from_pb(message.layout),
        rope_digest=message.rope_digest,
        numeric_class=message.numeric_class,
    )


def _layout_to_pb(layout: LayoutDescriptor) -> types_pb2.Layout:
    return types_pb2.Layout(
        num_layers=layout.num_layers,
        num_kv_heads=layout.num_kv_heads,
        head_dim=layout.head_dim,
        block_size=layout.block_size,
        dtype=layout.dtype,
    )


def _layout_from_pb(message: types_pb2.Layout) -> LayoutDescriptor:
    return LayoutDescriptor(
        num_layers=message.num_layers,
        num_kv_heads=message.num_kv_heads,
        head_dim=message.head_dim,
        block_size=message.block_size,
        dtype=message.dtype,
    )
