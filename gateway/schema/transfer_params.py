"""The keys of `kv_transfer_params`, each checked by itself and against the others."""

from collections.abc import Mapping
from typing import Any

from gateway.placing.selector import Selector, read_selector
from gateway.placing.wishes import ANY, Mode, Wishes, wrong

MOST_AVOIDED = 256
LONGEST_KEEP = 3600.0  # seconds
TICKET = "remote_ticket"

# By which a router of vLLM's kind has one worker read and another one write; and what vouches for it.
REMOTE = frozenset(
    {"do_remote_decode", "do_remote_prefill", "remote_block_ids", "remote_engine_id"}
    | {"remote_host", "remote_num_tokens", "remote_port", "remote_request_id", "tp_size", TICKET}
)
# By which other servers let two of their own hand a KV cache over. Whom it comes from is decided
# here, and no address that a client names is ever dialled.
FOREIGN = frozenset(
    {"disagg_spec", "prompt_token_ids", "ret_first_tok", "transfer_id"}
    | {"remote_bootstrap_addr", "remote_dp_rank", "remote_dp_size", "remote_handshake_port"}
    | {"remote_hosts", "remote_notify_port"}
)
FLAGS = ("do_remote_decode", "do_remote_prefill")
OURS = frozenset({"avoid", "decode_worker", "keep", "mode", "prefill_worker", "resume"})


def read_wishes(params: Mapping[str, Any]) -> Wishes:
    """Null is left out. Raises RequestError with the key's path."""
    if not params:
        return ANY
    said = {key: value for key, value in params.items() if value is not None}
    for key in said:
        if key in FOREIGN and said[key] is not False:
            raise wrong(key, "is not supported by this version")
        if key not in OURS | REMOTE | FOREIGN:
            raise wrong(key, "is not a key that is known here")
    return Wishes(
        prefill=_selector("prefill_worker", said.get("prefill_worker")),
        decode=_selector("decode_worker", said.get("decode_worker")),
        mode=_mode(said.get("mode", Mode.AUTO.value)),
        avoid=_avoided(said.get("avoid", [])),
        keep_seconds=_keep(said.get("keep", 0)),
        gives_handles=bool(said.get("resume")),
        resume=_resume(said.get("resume", False)),
        remote_decode=_flag(said, "do_remote_decode"),
        brings=_brought(said),
    )


def _flag(said: Mapping[str, Any], key: str) -> bool:
    value = said.get(key, False)
    if not isinstance(value, bool):
        raise wrong(key, "must be true or false")
    return value


def _brought(said: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What was told of KV that waits for whoever shows it."""
    keys = {key: said[key] for key in sorted(REMOTE & said.keys()) if key not in FLAGS}
    keys = {key: value for key, value in keys.items() if value is not False}
    if not _flag(said, "do_remote_prefill"):
        for key in keys:
            raise wrong(key, "says nothing without do_remote_prefill")
        return ()
    if _flag(said, "do_remote_decode"):
        raise wrong("do_remote_decode", "contradicts do_remote_prefill")
    if not isinstance(keys.get(TICKET), str):
        raise wrong(TICKET, "is missing: the prefill worker's gateway tells it with the other keys")
    return tuple(keys.items())


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


def _keep(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 <= value <= LONGEST_KEEP:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise wrong("keep", f"must be a number of seconds, 0 to {LONGEST_KEEP:g}")


def _resume(value: object) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, str) and value:
        return value
    raise wrong("resume", "must be a handle that an answer gave, or true to be given some")
