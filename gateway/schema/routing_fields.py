"""Fields about the request itself: its name, whose it is, its turn and its place."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from gateway.placing.wishes import Wishes
from gateway.schema.transfer_params import read_wishes

INT64 = (1 << 63) - 1
LONGEST_ID = 512  # characters; an id goes into every chunk of an answer and into a header
_PRINTABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


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
        description="Wishes for the placement: prefill_worker, decode_worker, mode, avoid, keep, resume; vLLM's keys with --worker; "
        "see docs/kv-transfer-params.md. Default: {}.",
    )

    @field_validator("request_id")
    @classmethod
    def _fits_a_header(cls, request_id: str | None) -> str | None:
        if request_id is not None and not _PRINTABLE.fullmatch(request_id):
            raise ValueError("must be printable ASCII, without spaces around it")
        return request_id

    @field_validator("kv_transfer_params")
    @classmethod
    def _can_be_granted(cls, params: dict[str, Any] | None) -> dict[str, Any] | None:
        read_wishes(params or {})
        return params

    @property
    def wishes(self) -> Wishes:
        return read_wishes(self.kv_transfer_params or {})
