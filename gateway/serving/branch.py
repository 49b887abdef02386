"""Choices of one request that are answered by the same attempts."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from baton.core.token_record import TokenRecord
from gateway.breaks import BarrenSpell
from gateway.members.assignment import Assignment
from gateway.serving.continuation import Part
from gateway.serving.merge import Streams
from gateway.serving.move import Move
from gateway.serving.moves import Moves
from gateway.serving.request_life import RequestLife
from gateway.telemetry.job_meter import JobMeter

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane

Batch = tuple[TokenRecord, ...]


class Branch:
    """A request begins with one. When an attempt breaks it goes on with one per choice, and a
    choice that moves to another worker has one of its own from then on.
    """

    def __init__(
        self, life: RequestLife, moves: Moves, part: Part, meter: JobMeter, move: Move | None = None
    ) -> None:
        self.life = life
        self.moves = moves
        self.part = part
        self.meter = meter
        self.move = move  # that opened its first attempt
        self.turn = life.turn
        self.returning = False  # it was placed before
        self.barren = BarrenSpell()
        self.lane: Lane | None = move.target.lane if move is not None else life.new_lane()

    def placed(self, assignment: Assignment) -> None:
        """Its workers are about to be called; for the request's trace."""
        if self.lane is None:
            return
        told: dict[str, str | int] = {}
        if assignment.forecast is not None:
            decision = assignment.forecast.decision
            told = {
                "baton.placement.reason": decision.reason,
                "baton.placement.considered": decision.considered,
            }
        self.lane.phase("placement", told)

    def split(self, part: Part, move: Move | None = None) -> "Branch":
        """For some of its choices, which are not its own any more. It waits from the same moment
        on.
        """
        for choice in part.choices:
            self.part = self.part.without(choice)
        branch = Branch(self.life, self.moves, part, self.meter, move)
        branch.turn, branch.returning = self.turn, True
        return branch

    def end_move(self) -> None:
        """Its attempt broke: the next one is placed."""
        if self.move is not None:
            self.move.cancel()
            self.move = None

    def left(self, choice: int) -> "Branch":
        """The choice has moved."""
        arrival = self.moves.left(choice)
        return self.split(arrival.part, arrival.move)


Told = Batch | Branch


async def joined(
    first: Branch, told_by: Callable[[Branch], AsyncGenerator[Told, None]]
) -> AsyncGenerator[Batch, None]:
    """What the branch tells, and beside it what those tell that split off. One whose choices the
    reader's text has ended is stopped, or not placed any more.
    """
    owned = [set(first.part.choices)]  # by branch, as far as it was read
    async with aclosing(told_by(first)) as alone, Streams[Told]() as streams:

        def open(branch: Branch, parent: int) -> None:
            owned[parent].difference_update(branch.part.choices)
            owned.append(set(branch.part.choices))
            streams.add(partial(told_by, branch), at_once=branch.move is not None)

        async for item in alone:
            if isinstance(item, Branch):
                streams.add(lambda: alone, at_once=True)
                open(item, 0)
                break
            yield item
        async for index, item in streams:
            if isinstance(item, Branch):
                open(item, index)
                continue
            yield item
            if all(map(first.life.output.has_ended, owned[index])):
                streams.stop(index)
