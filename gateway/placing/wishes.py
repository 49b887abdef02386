"""What a request wants of its placement, of its `kv_transfer_params`. Pure."""

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from baton.core.errors import RequestError
from baton.core.worker_info import Role, WorkerInfo
from gateway.placing.candidate import Candidate
from gateway.placing.selector import Selector

FIELD = "kv_transfer_params"

Elsewhere = tuple[str, WorkerInfo]  # the name of another model, and a worker of it


class Mode(Enum):
    AUTO = "auto"
    DISAGGREGATED = "disaggregated"  # a prefill worker reads the prompt, a decode worker goes on
    AGGREGATED = "aggregated"  # a decode worker does both


@dataclass(frozen=True, slots=True)
class Wishes:
    """They hold for every placement of the request, those after a break included."""

    prefill: Selector | None = None
    decode: Selector | None = None
    mode: Mode = Mode.AUTO
    avoid: tuple[Selector, ...] = ()
    keep_seconds: float = 0.0  # that the answer's KV is evicted last
    gives_handles: bool = False  # by which the answer can be gone on with
    resume: str = ""  # the handle of an answer to go on with
    remote_decode: bool = False  # the prompt is only read, for a decode worker of another router's
    brings: tuple[tuple[str, Any], ...] = ()  # what such a router says of KV that was read for it

    def __post_init__(self) -> None:
        """Raises RequestError where two of them contradict each other."""
        if self.mode is Mode.AGGREGATED and self.prefill is not None:
            raise wrong(
                "prefill_worker", "contradicts mode aggregated, in which the decode worker reads"
            )
        if self.remote_decode and (self.decode or self.mode is not Mode.AUTO or self.gives_handles):
            raise wrong("do_remote_decode", "only reads the prompt, whoever decodes")
        if self.brings and (self.prefill or self.mode is not Mode.AUTO or self.resume):
            raise wrong("do_remote_prefill", "the prompt was read, and an answer begins behind it")
        for key, pin in (("prefill_worker", self.prefill), ("decode_worker", self.decode)):
            if pin in self.avoid:
                raise wrong(key, f"{pin} is to be avoided as well")

    @property
    def particular(self) -> bool:
        """Whether some worker that others may get is none for this request."""
        return bool(self.avoid or self.prefill or self.decode) or self.mode is not Mode.AUTO

    @property
    def lane(self) -> Hashable:
        """Equal for requests that would take the same workers; None: for those that take any."""
        return (self.prefill, self.decode, self.mode, self.avoid) if self.particular else None

    @property
    def may_be_alone(self) -> bool:
        """Whether the decode worker may read the prompt itself."""
        return self.mode is not Mode.DISAGGREGATED and self.prefill is None

    def of(self, candidates: Collection[Candidate]) -> Collection[Candidate]:
        """Those that may have the request, or a part of it."""
        if not self.particular:
            return candidates
        return [candidate for candidate in candidates if self.allow(candidate.info)]

    def allow(self, info: WorkerInfo) -> bool:
        if info.role is Role.PREFILL and self.mode is Mode.AGGREGATED:
            return False
        pin = self.prefill if info.role is Role.PREFILL else self.decode
        return (pin is None or pin.fits(info)) and not self.avoids(info)

    def avoids(self, info: WorkerInfo) -> bool:
        return any(selector.fits(info) for selector in self.avoid)

    def check(
        self, known: Iterable[WorkerInfo], elsewhere: Callable[[], Iterable[Elsewhere]] = tuple
    ) -> None:
        """`known`: who is a member or was one, of those that serve the request's model. Raises
        RequestError for what none of them can grant: it is not waited for.
        """
        if not self.particular:
            return
        infos = list(known)
        for key, pin in (("prefill_worker", self.prefill), ("decode_worker", self.decode)):
            if pin is not None and not any(map(pin.fits, infos)):
                raise wrong(key, _nobody(pin, elsewhere()))
        prefills = self._named("prefill_worker", self.prefill, Role.PREFILL, infos)
        decodes = self._named("decode_worker", self.decode, Role.DECODE, infos)
        if self.mode is Mode.DISAGGREGATED and infos and all(i.role is Role.DECODE for i in infos):
            raise wrong("mode", "disaggregated needs a prefill worker, and this cluster has none")
        kinds = {info.fingerprint.digest() for info in decodes}
        if (
            self.prefill
            and self.decode
            and not any(info.fingerprint.digest() in kinds for info in prefills)
        ):
            raise wrong(
                "prefill_worker", f"{self.prefill} cannot exchange KV caches with {self.decode}"
            )

    def _named(
        self, key: str, pin: Selector | None, role: Role, infos: list[WorkerInfo]
    ) -> list[WorkerInfo]:
        if pin is None:
            return []
        named = [info for info in infos if pin.fits(info)]
        fitting = [info for info in named if info.role is role]
        if not fitting:
            raise wrong(key, f"{pin} is no {role.value} worker")
        wanted = [info for info in fitting if not self.avoids(info)]
        if not wanted:
            raise wrong(key, f"{pin} is to be avoided as well")
        return wanted


def _nobody(pin: Selector, elsewhere: Iterable[Elsewhere]) -> str:
    models = dict.fromkeys(name for name, info in elsewhere if pin.fits(info))
    if models:
        return f"{pin} serves another model: {', '.join(models)}"
    return f"no worker of this cluster is {pin}"


ANY = Wishes()


def wrong(key: str, what: str) -> RequestError:
    path = f"{FIELD}.{key}"
    return RequestError(f"{path}: {what}", path)
