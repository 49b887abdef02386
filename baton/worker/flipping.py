"""How a worker changes its role: it takes nothing new, is empty, is another instance, joins again.

A role is which rpcs are accepted, so weights, KV pool, prefix cache, port and process stay. What was
promised under the old role is fenced off by the instance's id: hand-offs name it, and so does whoever
watches the load.
"""

import logging
from collections.abc import Awaitable, Callable, Collection

from baton.core.errors import RefusedError, RequestError, UnavailableError
from baton.core.worker_info import Role, WorkerInfo
from baton.worker.desk import Desk
from baton.worker.flips import CALLED_OFF, DONE, OVERTAKEN, Flips
from baton.worker.load import LoadBoard

logger = logging.getLogger(__name__)


class Flipping:
    """One for the process. Others ask; `run` does it."""

    def __init__(
        self,
        desk: Desk,
        board: LoadBoard,
        serves: WorkerInfo,
        roles: Collection[Role],
        flips: Flips,
    ) -> None:
        """`roles`: those that this process has the services of. `flips` are told how each ended."""
        self.serves = serves  # as whom it was announced last
        self._desk = desk
        self._board = board
        self._roles = roles
        self._count = flips.count

    def ask(self, role: Role) -> int:
        """Requests that are left to be done before it. The role that it has: it stays what it is.

        Raises RequestError for a role that this process cannot have, RefusedError when it leaves.
        """
        if role not in self._roles:
            raise RequestError(_no_service(role, self._desk.role), "role")
        desk = self._desk
        if role is desk.role and desk.next_role is not None:
            desk.stay()
            logger.warning("stays a %s worker after all", role.value)
            self._count(role, CALLED_OFF)
        elif role is not desk.role and desk.next_role is None:
            desk.flip()
            logger.warning("to be a %s worker: takes nothing until it is empty", role.value)
        return desk.requests

    async def until_it_serves(self, role: Role) -> WorkerInfo:
        """As what it was announced in the role that was asked for. Raises RefusedError when that was
        called off, UnavailableError when the worker is to leave.
        """
        desk = self._desk
        await self._board.until(
            lambda: self.serves.role is role or role not in (desk.role, desk.next_role)
        )
        if self.serves.role is role:
            return self.serves
        if desk.leaves or role is desk.role:
            raise UnavailableError("this worker was told to leave before it had changed its role")
        raise RefusedError(f"that it becomes a {role.value} worker was called off")

    async def run(
        self,
        idle: Callable[[], bool],
        turn: Callable[[], WorkerInfo],
        announce: Callable[[WorkerInfo], Awaitable[None]],
    ) -> None:
        """Changes the role whenever that was asked for and the worker is idle, until the board is
        closed. `turn` begins the next role, `announce` returns once others can know of it.
        """
        desk = self._desk
        while True:
            await self._board.until(lambda: desk.next_role is not None and idle())
            if desk.next_role is None or not idle():
                return
            before = desk.role
            info = turn()
            await announce(info)
            self.serves = info
            self._count(before, DONE)
            self._board.touch()
            logger.warning("serves as a %s worker now", info.role.value)

    def leave(self) -> None:
        """The worker is to leave, whatever it was to become."""
        if self._desk.next_role is not None:
            self._count(self._desk.role, OVERTAKEN)
        self._desk.drain()


def _no_service(wanted: Role, role: Role) -> str:
    if role is Role.ENCODE:
        return "an encode worker has no language model, and so no other role"
    if wanted is Role.ENCODE:
        return "no worker becomes an encode worker: start one with `baton encode`"
    return (
        f"this process has no {wanted.value} service; workers that were started with `baton prefill`, "
        "`baton decode` or `baton up` have both"
    )
