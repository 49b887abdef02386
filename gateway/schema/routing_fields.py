"""Fields about the request itself: its name, whose it is, its turn and its place."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from baton.core.errors import RequestError

INT64 = (1 << 63) - 1
LONGEST_ID = 512  # characters; an id goes into every chunk of an answer and into a header
_PRINTABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

# Keys of kv_transfer_params that ask for something. Ours:
PLACEMENT = frozenset({"decode_worker", "mode", "prefill_worker"})
# And those by which other servers let two of their own hand a KV cache over. Whom it comes from is
# decided here, and no address that a client names is ever dialled.
HANDSHAKE = frozenset(
    {"disagg_spec", "do_remote_decode", "do_remote_prefill", "prompt_token_ids", "ret_first_tok"}
    | {"tp_size", "transfer_id"}
    | {"remote_block_ids", "remote_bootstrap_addr", "remote_dp_rank", "remote_dp_size"}
    | {"remote_engine_id", "remote_handshake_port", "remote_host", "remote_hosts"}
    | {"remote_notify_port", "remote_num_tokens", "remote_port", "remote_request_id"}
)
FLAGS = ("do_remote_decode", "do_remote_prefill")


class RoutingFields(BaseModel):
    request_id: Annotated[str, Field(max_length=LONGEST_ID)] | None = Field(
        None,
        description="Of the answer's id and of the header X-Request-Id, which wins where the "
        "request has it. Printable ASCII. Default: a random one.",
    )
    user: str | None = Field(
        None, description="Told in the log of --enable-log-requests. Default: nobody."
    )
    priority: Annotated[int, Field(ge=-INT64 - 1, le=INT64)] | None = Field(
        None,
        description="Lower is placed earlier; needs --scheduling-policy priority unless it is 0. "
        "Default: 0.",
    )
    kv_transfer_params: dict[str, Any] | None = Field(
        None,
        description="Nothing in it acts yet, so only false flags and nulls are taken. Default: {}.",
    )

    @field_validator("request_id")
    @classmethod
    def _fits_a_header(cls, request_id: str | None) -> str | None:
        if request_id is not None and not _PRINTABLE.fullmatch(request_id):
            raise ValueError("must be printable ASCII, without spaces around it")
        return request_id

    @field_validator("kv_transfer_params")
    @classmethod
    def _asks_for_nothing(cls, params: dict[str, Any] | None) -> dict[str, Any] | None:
        said = {key: value for key, value in (params or {}).items() if value is not None}
        for flag in FLAGS:
            if not isinstance(said.get(flag, False), bool):
                raise ValueError(f"{flag} must be true or false")
        if all(said.get(flag) for flag in FLAGS):
            raise ValueError("do_remote_decode and do_remote_prefill contradict each other")
        for key in said:
            if key in PLACEMENT or (key in HANDSHAKE and said[key] is not False):
                path = f"kv_transfer_params.{key}"
                raise RequestError(f"{path!r} is not supported by this version", path)
        return params

    @property
    def unread_transfer_keys(self) -> list[str]:
        """Foreign ones, which say nothing to anybody here."""
        known = PLACEMENT | HANDSHAKE
        return [f"kv_transfer_params.{k}" for k in self.kv_transfer_params or {} if k not in known]
