"""The keys of `kv_transfer_params`, each checked by itself and against the others."""

from collections.abc import Mapping
from typing import Any

from gateway.selector import Selector, read_selector
from gateway.wishes import Mode, Wishes, wrong

MOST_AVOIDED = 256

# By which other servers let two of their own hand a KV cache over. Whom it comes from is decided
# here, and no address that a client names is ever dialled.
HANDSHAKE = frozenset(
    {"disagg_spec", "do_remote_decode", "do_remote_prefill", "prompt_token_ids", "ret_first_tok"}
    | {"tp_size", "transfer_id"}
    | {"remote_block_ids", "remote_bootstrap_addr", "remote_dp_rank", "remote_dp_size"}
    | {"remote_engine_id", "remote_handshake_port", "remote_host", "remote_hosts"}
    | {"remote_notify_port", "remote_num_tokens", "remote_port", "remote_request_id"}
)
FLAGS = ("do_remote_decode", "do_remote_prefill")
OURS = frozenset({"avoid", "decode_worker", "mode", "prefill_worker"})


def read_wishes(params: Mapping[str, Any]) -> Wishes:
    """Null is left out. Raises RequestError with the key's path."""
    said = {key: value for key, value in params.items() if value is not None}
    _check_handshake(said)
    for key in said.keys() - OURS - HANDSHAKE:
        raise wrong(key, "is not a key that is known here")
    return Wishes(
        prefill=_selector("prefill_worker", said.get("prefill_worker")),
        decode=_selector("decode_worker", said.get("decode_worker")),
        mode=_mode(said.get("mode", Mode.AUTO.value)),
        avoid=_avoided(said.get("avoid", [])),
    )


def _check_handshake(said: Mapping[str, Any]) -> None:
    for flag in FLAGS:
        if not isinstance(said.get(flag, False), bool):
            raise wrong(flag, "must be true or false")
    if all(said.get(flag) for flag in FLAGS):
        raise wrong(FLAGS[0], f"contradicts {FLAGS[1]}")
    for key in said:
        if key in HANDSHAKE and said[key] is not False:
            raise wrong(key, "is not supported by this version")


def _selector(key: str, value: object) -> Selector | None:
    if value is None:
        return None
    try:
        return read_selector(value)
    except ValueError as error:
        raise wrong(key, str(error)) from error


def _mode(value: object) -> Mode:
    try:
        return Mode(value)
    except ValueError as error:
        raise wrong("mode", "must be auto, disaggregated or aggregated") from error


def _avoided(value: object) -> tuple[Selector, ...]:
    if not isinstance(value, list) or len(value) > MOST_AVOIDED:
        raise wrong("avoid", f"must be a list of at most {MOST_AVOIDED} workers' ids or labels")
    try:
        return tuple(read_selector(one) for one in value)
    except ValueError as error:
        raise wrong("avoid", str(error)) from error
