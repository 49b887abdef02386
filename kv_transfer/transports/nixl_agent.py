"""NIXL, an optional extra: one agent with the pool registered, for lending it or for reading into it."""

import ctypes
import importlib
import importlib.util
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baton.core.errors import TransferError
from kv_transfer.memory import Memory

NAME = "nixl"
MISSING = "NIXL is not installed: pip install 'baton-serving[nixl]'"

Range = tuple[int, int]  # address, length


def importable() -> bool:
    return importlib.util.find_spec("nixl") is not None


class NixlAgent:
    """Not for two threads at once. `close` ends everything: no byte lands in the memory after it."""

    def __init__(self, memory: Memory) -> None:
        """Raises TransferError where NIXL is missing or does not start."""
        if not importable():
            raise TransferError(MISSING)
        os.environ.setdefault("UCX_TLS", _transports())
        os.environ.setdefault("NIXL_LOG_LEVEL", "WARN")
        api: Any = importlib.import_module("nixl._api")
        self._lent = ctypes.c_char.from_buffer(memory.view)  # the pool stays mapped meanwhile
        self.address = ctypes.addressof(self._lent)
        self._registered: list[Any] = []
        # No thread of its own: that one would turn around one core for as long as the worker lives.
        config = api.nixl_agent_config(enable_prog_thread=False, backends=["UCX"])
        try:
            self._agent: Any = api.nixl_agent(secrets.token_hex(16), config)
            self.register(self.address, memory.size)
        except Exception as error:  # NIXL's errors have no public class
            raise TransferError(f"NIXL does not start: {error}") from error

    @property
    def metadata(self) -> bytes:
        """What a peer needs to reach the registered memory."""
        return bytes(self._agent.get_agent_metadata())

    def register(self, address: int, length: int) -> None:
        memory = [(address, length, 0, "")]
        self._registered.append(self._agent.register_memory(memory, "DRAM"))

    def add_peer(self, metadata: bytes) -> str:
        return str(self._agent.add_remote_agent(metadata).decode())

    def progress(self) -> None:
        """Lets readers of this agent's memory go on; they stand still without it."""
        self._agent.get_new_notifs()

    def start(self, peer: str, sources: Sequence[Range], targets: Sequence[Range]) -> Any:
        """A READ that has been posted, perhaps even done; `done` tells, `release` forgets it."""
        here = self._agent.get_xfer_descs([(*range_, 0) for range_ in targets], "DRAM")
        there = self._agent.get_xfer_descs([(*range_, 0) for range_ in sources], "DRAM")
        handle = self._agent.initialize_xfer("READ", here, there, peer)
        self._agent.transfer(handle)
        return handle

    def done(self, handle: Any) -> bool:
        """Raises NIXL's own errors."""
        state = self._agent.check_xfer_state(handle)
        if state == "ERR":
            raise TransferError("NIXL could not read")
        return bool(state == "DONE")

    def release(self, handle: Any) -> None:
        self._agent.release_xfer_handle(handle)

    def close(self, peer: str | None = None) -> None:
        try:
            if peer is not None:
                self._agent.remove_remote_agent(peer)
            for registered in self._registered:
                self._agent.deregister_memory(registered)
        except Exception as error:  # likewise; a peer that is dead makes some of them
            raise TransferError(f"NIXL did not end well: {error}") from error
        finally:
            self._registered.clear()
            self._agent = None  # the UCX worker goes with it, and whatever was under way
            del self._lent


def _transports() -> str:
    """UCX's own choice would also try what needs a GPU or another user's rights."""
    fabric = "rc,ud," if Path("/sys/class/infiniband").is_dir() else ""
    return f"{fabric}cma,tcp,self"
