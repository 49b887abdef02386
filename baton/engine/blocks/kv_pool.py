"""The memory of all KV blocks: one memfd that other processes can be handed. It knows no owner of a block."""

import fcntl
import mmap
import os
from types import TracebackType

from baton.core.errors import SettingsError
from baton.core.layout import LayoutDescriptor
from baton.engine.machine.host_memory import available_memory


class KvPool:
    """Block b is the run of `block_bytes` at `b * block_bytes`, laid out as `layout` says.

    After the blocks, at the next page, comes the canary: one page of random bytes that holds no
    block, so that a peer can prove that it reads this very memory. The memory starts as zeros, is
    committed at once (running out of it stops the start, not a request) and cannot change its size.
    """

    def __init__(self, layout: LayoutDescriptor, num_blocks: int) -> None:
        self._layout = layout
        self._num_blocks = num_blocks
        self._canary_offset = _whole_pages(num_blocks * layout.block_bytes)
        self._size = self._canary_offset + mmap.PAGESIZE
        self._fd = _committed_memfd(self._size)
        # All pages at once, 0.2 to 0.4 s per GiB: as the first prompts come to them, it would be they that
        # wait, `small` for 14,000 pages of 512 tokens.
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        self._map = mmap.mmap(self._fd, self._size, flags=flags)
        self._view = memoryview(self._map)
        self._view[self._canary_offset :] = os.urandom(mmap.PAGESIZE)
        self._zeros = bytes(layout.block_bytes)
        self._closed = False

    @property
    def layout(self) -> LayoutDescriptor:
        return self._layout

    @property
    def num_blocks(self) -> int:
        return self._num_blocks

    @property
    def fd(self) -> int:
        """Owned by the pool: valid until `close`; duplicate it to keep it."""
        return self._fd

    @property
    def size(self) -> int:
        """Bytes, with the canary."""
        return self._size

    @property
    def view(self) -> memoryview:
        """All `size` bytes, writable."""
        return self._view

    @property
    def block_bytes(self) -> int:
        return self._layout.block_bytes

    @property
    def canary_offset(self) -> int:
        return self._canary_offset

    def zero_block(self, block: int) -> None:
        start = block * self.block_bytes
        self._view[start : start + self.block_bytes] = self._zeros

    def zero_tail(self, block: int, num_tokens: int) -> None:
        """All but the first `num_tokens` tokens, in each of the block's rows."""
        layout = self._layout
        row = self.block_bytes // (layout.num_layers * 2 * layout.num_kv_heads)
        used = row // layout.block_size * num_tokens
        start = block * self.block_bytes
        for at in range(start, start + self.block_bytes, row):
            self._view[at + used : at + row] = self._zeros[used:row]

    def copy_block(self, source: int, target: int) -> None:
        start, to = source * self.block_bytes, target * self.block_bytes
        self._view[to : to + self.block_bytes] = self._view[start : start + self.block_bytes]

    def close(self) -> None:
        """Gives up the descriptor and the mapping; a second call does nothing.

        Where somebody still holds a view (a tensor over it), the memory goes with that view.
        """
        if self._closed:
            return
        self._closed = True
        os.close(self._fd)
        try:
            self._view.release()
            self._map.close()
        except BufferError:
            del self._view, self._map

    def __enter__(self) -> "KvPool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _whole_pages(num_bytes: int) -> int:
    return -(-num_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


def _committed_memfd(size: int) -> int:
    """An anonymous file of `size` zero bytes, every page of it present, sealed in its size."""
    available = available_memory()
    if size > available:  # the kernel would not refuse: it would kill somebody
        raise _too_big(size, f"{available} are available")
    fd = os.memfd_create("baton-kv", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(fd, 0, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except OSError as error:
        os.close(fd)
        raise _too_big(size, str(error)) from error
    return fd


def _too_big(size: int, reason: str) -> SettingsError:
    return SettingsError(
        f"the KV pool of {size} bytes cannot be allocated ({reason}): lower --kv-cache-memory-bytes"
    )
