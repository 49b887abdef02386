"""The names a hand-off goes by."""

import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Handoff:
    """Minted by the gateway, told to both workers.

    The ticket is used once, by the one Pull that attaches. `address` and `instance_id` are the
    sending worker's, from the registry, never from a client.
    """

    transfer_id: str
    ticket: bytes  # 128 random bits
    address: str
    instance_id: str


@dataclass(frozen=True, slots=True)
class PrefixSource:
    """A worker whose prefix cache may hold the beginning of a prompt, and the hand-off to get it by.

    Here `handoff` names the worker that lends; its ticket is another one than that of the prompt's
    own hand-off.
    """

    handoff: Handoff
    num_tokens: int  # from the first one on, that it may have


@dataclass(frozen=True, slots=True)
class Epoch:
    """Names one lease for ever: the process that gave it and a serial that it never uses again."""

    instance_id: str
    serial: int


def new_ticket() -> bytes:
    return secrets.token_bytes(16)


def new_id() -> str:
    """128 random bits, hex."""
    return secrets.token_hex(16)
