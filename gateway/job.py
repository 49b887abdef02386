"""One prompt to be answered by the cluster."""

from dataclasses import dataclass

from baton.core.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that the workers are told of a request; the text stays here."""

    request_id: str  # unique in the cluster, whatever the client sent
    prompt: tuple[int, ...]
    params: SamplingParams
    cache_salt: str = ""  # requests of unequal salts share no cached prefix
    tenant: str = ""  # nor do requests of unequal tenants
    priority: int = 0  # in the line of this gateway; lower is earlier
