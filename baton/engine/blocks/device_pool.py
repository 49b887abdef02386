"""The KV pool on a device: one tensor, and its blocks' ways to the host and back."""

from collections.abc import Sequence

import torch
from torch import Tensor

from baton.core.errors import SettingsError
from baton.core.layout import LayoutDescriptor
from baton.engine.blocks.copy_stream import CopyStream
from baton.engine.blocks.host_stage import HostStage
from baton.engine.blocks.paged_tensor import TORCH_DTYPES


class DevicePool:
    """Block b is `tensor[b]`, laid out as `layout` says; the memory starts as zeros.

    Behind the blocks lies one more, `scratch`, which is nobody's: rows that only fill up a batch
    write there. What the engine's thread does to blocks is queued on the device behind its steps;
    whoever copies blocks to the host or back sees it done.
    """

    def __init__(self, layout: LayoutDescriptor, num_blocks: int, device: torch.device) -> None:
        """Raises SettingsError where the device has no room for it."""
        self._layout = layout
        self._num_blocks = num_blocks
        self._device = device
        dtype = TORCH_DTYPES[layout.dtype]
        shape = (layout.num_layers, 2, layout.num_kv_heads, layout.block_size, layout.head_dim)
        try:
            self._tensor = torch.zeros((num_blocks + 1, *shape), dtype=dtype, device=device)
        except torch.OutOfMemoryError as error:
            raise SettingsError(
                f"the KV pool of {num_blocks * layout.block_bytes} bytes does not fit on {device}: "
                "lower --kv-cache-memory-bytes or --gpu-memory-utilization"
            ) from error
        self._bytes = self._tensor.view(num_blocks + 1, -1).view(torch.uint8)
        self._copies = CopyStream(device)

    @property
    def layout(self) -> LayoutDescriptor:
        return self._layout

    @property
    def num_blocks(self) -> int:
        return self._num_blocks

    @property
    def block_bytes(self) -> int:
        return self._layout.block_bytes

    @property
    def scratch(self) -> int:
        return self._num_blocks

    @property
    def tensor(self) -> Tensor:
        """`[block][layer][K|V][kv_head][block_size][head_dim]`, the scratch block included."""
        return self._tensor

    def zero_block(self, block: int) -> None:
        self._tensor[block].zero_()
        self._copies.after_this()

    def zero_tail(self, block: int, num_tokens: int) -> None:
        """All but the first `num_tokens` tokens, of every layer and head."""
        self._tensor[block, :, :, :, num_tokens:].zero_()
        self._copies.after_this()

    def copy_block(self, source: int, target: int) -> None:
        self._tensor[target].copy_(self._tensor[source])
        self._copies.after_this()

    def to_host(self, blocks: Sequence[int], rows: Sequence[int], host: Tensor) -> None:
        """Copies each block into its row of `host`, uint8 [rows, block_bytes], page-locked.

        Returns when the bytes are there. From any thread.
        """
        with self._copies.waited_for():
            for block, row in zip(blocks, rows, strict=True):
                host[row].copy_(self._bytes[block], non_blocking=True)

    def to_device(self, rows: Sequence[int], blocks: Sequence[int], host: Tensor) -> None:
        """The other way. Steps that begin afterwards read the new bytes."""
        with self._copies.waited_for():
            for row, block in zip(rows, blocks, strict=True):
                self._bytes[block].copy_(host[row], non_blocking=True)

    def stage(self, num_slots: int, flag: str = "--max-model-len") -> HostStage:
        """Host memory in place of this pool. Raises SettingsError that says to lower `flag`."""
        return HostStage(self, num_slots, flag)

    def close(self) -> None:
        """Whoever still holds the tensor keeps its memory."""
        del self._tensor, self._bytes
