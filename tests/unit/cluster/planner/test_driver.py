"""What is decided is done, or only said."""

from typing import Any

from baton.cluster.orchestrator import Pending, RunWorker
from baton.cluster.planner.driver import Driver
from baton.cluster.planner.goals import Goals, Limits
from baton.cluster.planner.observation import Observation
from baton.cluster.planner.planner import Action, Flip, Plan, Planner, Scale
from baton.cluster.planner.size import Size
from baton.core.errors import SettingsError, UnavailableError
from baton.core.worker_info import Role

LIMITS = Limits(Size(1, 1), Size(4, 4), 8)
WORKER = {"id": "decode-0", "role": "prefill", "state": "ready", "address": "h:1"}


class SureOfIt(Planner):
    """Decides what it is told."""

    def __init__(self, *actions: Action) -> None:
        super().__init__(Goals(), LIMITS)
        self._told = actions

    def decide(self, now: Observation) -> Plan:
        return Plan(self._told, ("why",))


class FakePages:
    def __init__(self, trouble: str = "") -> None:
        self.trouble = trouble

    def status(self) -> dict[str, Any]:
        if self.trouble:
            raise UnavailableError(self.trouble)
        return {"workers": [WORKER]}

    def metrics(self) -> str:
        return ""


class FakeOrchestrator:
    """Notes what it is asked."""

    def __init__(self, refuses: str = "") -> None:
        self.asked: list[tuple[Role, int]] = []
        self.roles: dict[str, Role] = {}
        self._refuses = refuses

    async def run(self, registry: str) -> None: ...

    async def until_ready(self) -> None: ...

    def wanted(self, role: Role) -> int:
        return 1

    async def scale(self, role: Role, count: int) -> None:
        if self._refuses:
            raise SettingsError(self._refuses)
        self.asked.append((role, count))

    async def drain(self, worker_id: str) -> None: ...

    def has_role(self, worker_id: str, role: Role) -> None:
        self.roles[worker_id] = role

    def workers(self) -> list[RunWorker]:
        return []

    def pending(self) -> list[Pending]:
        return []


class Driven:
    def __init__(self, *actions: Action, dry_run: bool = False, refuses: str = "") -> None:
        self.said: list[str] = []
        self.flips: list[tuple[str, Role]] = []
        self.pages = FakePages()
        self.orchestrator = FakeOrchestrator(refuses)
        self.driver = Driver(
            *(SureOfIt(*actions), self.pages, self.said.append, 1.0),
            self.orchestrator,
            self._flip,
            dry_run,
        )

    async def _flip(self, address: str, role: Role) -> None:
        self.flips.append((address, role))


ACTIONS = (Scale(Role.DECODE, 3), Flip("decode-0", "h:1", Role.PREFILL))


async def test_actions_are_carried_out_and_told_with_their_reasons() -> None:
    driven = Driven(*ACTIONS)
    await driven.driver.look()
    assert driven.orchestrator.asked == [(Role.DECODE, 3)]
    assert driven.flips == [("h:1", Role.PREFILL)]
    assert driven.said == [
        "planner: 3 decode workers are wanted. why",
        "planner: decode-0 is to be a prefill worker. why",
    ]
    assert driven.orchestrator.roles == {"decode-0": Role.PREFILL}


async def test_a_dry_run_does_nothing_and_says_all_of_it() -> None:
    driven = Driven(*ACTIONS, dry_run=True)
    await driven.driver.look()
    assert (driven.orchestrator.asked, driven.flips) == ([], [])
    assert driven.said == [
        "planner, dry run: 3 decode workers are wanted. why",
        "planner, dry run: decode-0 is to be a prefill worker. why",
    ]


async def test_what_cannot_be_done_is_said_and_the_rest_is_done() -> None:
    driven = Driven(*ACTIONS, refuses="no room")
    await driven.driver.look()
    assert driven.said[1] == "planner: 3 decode workers are wanted: no room"
    assert driven.flips


async def test_a_gateway_that_does_not_answer_is_complained_of_once() -> None:
    driven = Driven()
    driven.pages.trouble = "it sleeps"
    assert [await driven.driver.look() for _ in range(3)] == [None] * 3
    assert driven.said == ["planner: sees nothing of the cluster: it sleeps"]
    driven.pages.trouble = ""
    assert await driven.driver.look() is not None
    driven.pages.trouble = "it sleeps"
    await driven.driver.look()
    assert len(driven.said) == 2
