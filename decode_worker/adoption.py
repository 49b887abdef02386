"""What a pulled KV cache means for the work that goes on from it. Pure."""

from dataclasses import replace

from baton.core.errors import TransferError
from baton.core.token_record import TokenRecord
from baton.engine.work import Work
from kv_transfer.pulling import Pulled

Records = tuple[TokenRecord, ...]


def adopted(work: Work, pulled: Pulled) -> tuple[Work, Records]:
    """The work as the engine takes it, with its blocks, and the records that begin its stream.

    From prefill come the blocks of what is known and the first token of each choice. From a decode
    worker that gives a choice away comes its whole answer, which may reach beyond what the gateway
    had heard when it asked, and whose last token has no KV yet.

    Raises TransferError where what came does not fit what is known.
    """
    if work.params.n > 1 or work.searches:
        if pulled.num_tokens != work.num_known:
            raise _misfit(f"the KV of {pulled.num_tokens} tokens came, {work.num_known} are known")
        return replace(work, blocks=pulled.blocks, first=pulled.records), pulled.records
    records = pulled.records
    _check_places(work, pulled)
    told = work.known[len(work.prompt) : records[0].position]
    answer = (*told, *(record.token_id for record in records))
    new = tuple(record for record in records if record.position >= work.num_known)
    whole = replace(work, blocks=pulled.blocks, answered=answer[:-1], first=records[-1:])
    return whole, new


def _check_places(work: Work, pulled: Pulled) -> None:
    """One record per position up to the first without KV, equal where it is known already."""
    records, known = pulled.records, work.known
    end = pulled.num_tokens + 1
    places = [record.position for record in records]
    if not records or places != list(range(end - len(records), end)):
        raise _misfit(f"its records stand at {places}, its KV ends at {pulled.num_tokens}")
    if not len(work.prompt) <= places[0] <= work.num_known <= end:
        raise _misfit(f"its records stand at {places}, {work.num_known} tokens are known")
    for record in records:
        if record.choice != 0:
            raise _misfit(f"it has a record of choice {record.choice}")
        if record.position < len(known) and record.token_id != known[record.position]:
            raise _misfit(f"its token at {record.position} is another than was told")


def _misfit(what: str) -> TransferError:
    return TransferError(f"what was handed over does not fit the request: {what}")
