"""One prompt to be answered by the cluster."""

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from baton.core.handoff import Handoff
from baton.core.prompt_images import ImageSpan, PromptImage, spans_of
from baton.core.sampling_params import SamplingParams
from gateway.admission.shares import Bill
from gateway.output.plan import PLAIN, OutputPlan
from gateway.output.told_so_far import NOTHING_TOLD, ToldSoFar
from gateway.placing.objectives import NONE, Objectives
from gateway.placing.placement_record import PlacementRecord
from gateway.placing.wishes import ANY, Wishes

if TYPE_CHECKING:
    from gateway.telemetry.request_trace import RequestTrace


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that the workers are told of a request, and what becomes of their tokens here:
    the text stays with the gateway.
    """

    request_id: str  # unique in the cluster, whatever the client sent
    prompt: tuple[int, ...]
    params: SamplingParams
    cache_salt: str = ""  # requests of unequal salts share no cached prefix
    tenant: str = ""  # nor do requests of unequal tenants
    priority: int = 0  # in the line of this gateway and on the workers; lower is earlier
    plan: OutputPlan = PLAIN
    brought: Handoff | None = None  # by which the prompt's KV can be had, read for another router
    answered: tuple[int, ...] = ()  # told already, read behind the prompt; of one choice only
    bill: Bill = field(default_factory=Bill, compare=False)  # of the tenant whose turn it takes
    timeout: float | None = None  # seconds that its client waits for room; None: as long as others
    objectives: Objectives = NONE
    record: PlacementRecord | None = field(default=None, compare=False)  # hears where it goes
    wishes: Wishes = ANY
    words: str = ""  # digest of prompt and parameters, of an answer that can be gone on with
    told: ToldSoFar = NOTHING_TOLD  # of what was `answered`, to the client
    asked_at: float | None = None  # `time.monotonic` seconds; None: just now
    images: tuple[PromptImage, ...] = ()
    trace: "RequestTrace | None" = field(default=None, compare=False)  # None: it is not traced

    def key(self) -> int:
        """The same for another request of the tenant with this prompt, in this process."""
        return hash((self.tenant, self.prompt, *self.image_digests))

    @property
    def spans(self) -> tuple[ImageSpan, ...]:
        """Where the prompt's images stand."""
        return spans_of(self.images)

    @property
    def image_digests(self) -> tuple[str, ...]:
        """Hex. With them the prompt's tokens say all that there is to see."""
        return tuple(image.span.digest.hex() for image in self.images)

    def waited_ms(self) -> int:
        """Since the gateway took the request in."""
        if self.asked_at is None:
            return 0
        return round((time.monotonic() - self.asked_at) * 1000)

    def echoing(self, text: str) -> "Job":
        """The same with this text before the answer, unless the client has it."""
        if self.answered:
            return self
        return replace(self, plan=replace(self.plan, echo=text))
