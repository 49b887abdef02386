"""What a run comes to. Pure: outcomes in, numbers out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from baton.cluster.outcomes.outcome import Fate, Objectives, Outcome
from baton.cluster.outcomes.spread import Spread, spread, weighted_spread

LATE = 0.05  # seconds; a request sent later than that behind its time was sent late


@dataclass(frozen=True, slots=True)
class Summary:
    """Times in seconds. Requests that were cut off when the run ended are counted as such, and in
    nothing else.
    """

    requests: int  # whose time had come
    done: int
    refused: int  # 429, 503 or 504
    failed: int
    cut: int
    seconds: float  # from the beginning of the run to its last end
    input_tokens: int  # of the prompts that were answered
    output_tokens: int
    cached_share: float | None  # of those prompts' tokens; None: nobody said
    good: int  # done within the objectives
    ttft: Spread | None
    itl: Spread | None  # between what brought tokens
    token: Spread | None  # mean time per token behind the first, of each request
    e2e: Spread | None
    retry_after: Spread | None  # as refusals said
    reasons: Mapping[str, int]  # of those that were refused in the end
    came_back: int  # were refused and tried again as they were told
    came_back_once: int  # of these: got in at the first such try
    late: int  # sent late
    latest: float
    errors: Mapping[str, int]

    @property
    def good_share(self) -> float:
        """Of all requests that were not cut off."""
        told = self.requests - self.cut
        return self.good / told if told else 0.0

    @property
    def good_per_second(self) -> float:
        return self.good / self.seconds if self.seconds else 0.0

    @property
    def output_per_second(self) -> float:
        return self.output_tokens / self.seconds if self.seconds else 0.0


def summarise(outcomes: Sequence[Outcome], objectives: Objectives) -> Summary:
    fates = Counter(one.fate for one in outcomes)
    done = [one for one in outcomes if one.fate is Fate.DONE]
    known = [one for one in done if one.cached_tokens is not None]
    read = sum(one.input_tokens for one in known)
    back = [one for one in outcomes if one.refusals and (one.fate is Fate.DONE or one.refusals > 1)]
    return Summary(
        requests=len(outcomes),
        done=len(done),
        refused=fates[Fate.REFUSED],
        failed=fates[Fate.FAILED],
        cut=fates[Fate.CUT],
        seconds=max((one.ended or 0.0 for one in outcomes), default=0.0),
        input_tokens=sum(one.input_tokens for one in done),
        output_tokens=sum(one.output_tokens for one in done),
        cached_share=sum(one.cached_tokens or 0 for one in known) / read if read else None,
        good=sum(one.meets(objectives) for one in done),
        ttft=spread(one.ttft for one in done if one.ttft is not None),
        itl=weighted_spread(gap for one in done for gap in one.gaps),
        token=spread(one.itl for one in done if one.itl is not None),
        e2e=spread(one.e2e for one in done if one.e2e is not None),
        retry_after=spread(one.retry_after for one in outcomes if one.retry_after is not None),
        reasons=_reasons(outcomes),
        came_back=len(back),
        came_back_once=sum(one.fate is Fate.DONE and one.refusals == 1 for one in back),
        late=sum(one.late > LATE for one in outcomes),
        latest=max((one.late for one in outcomes), default=0.0),
        errors=dict(Counter(one.error for one in outcomes if one.error is not None)),
    )


def _reasons(outcomes: Sequence[Outcome]) -> dict[str, int]:
    refused = [one for one in outcomes if one.fate is Fate.REFUSED]
    return dict(Counter(one.reason for one in refused if one.reason is not None))


def by_tenant(outcomes: Sequence[Outcome], objectives: Objectives) -> dict[str, Summary]:
    """In the order of their names; nothing where there is only one."""
    names = sorted({one.tenant for one in outcomes})
    if len(names) < 2:
        return {}
    return {
        name: summarise([one for one in outcomes if one.tenant == name], objectives)
        for name in names
    }
