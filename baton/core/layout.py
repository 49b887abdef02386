"""The shape of a KV block in memory, the same on both sides of a hand-off."""

from dataclasses import dataclass

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "uint8": 1}


@dataclass(frozen=True, slots=True)
class LayoutDescriptor:
    """Block-first: `[block][layer][K|V][kv_head][block_size][head_dim]` of `dtype`.

    One block of all layers is one contiguous run of `block_bytes`.
    """

    num_layers: int
    num_kv_heads: int
    head_dim: int
    block_size: int  # tokens per block
    dtype: str

    @property
    def token_bytes(self) -> int:
        return self.num_layers * 2 * self.num_kv_heads * self.head_dim * DTYPE_BYTES[self.dtype]

    @property
    def block_bytes(self) -> int:
        return self.token_bytes * self.block_size

    def blocks_for(self, num_tokens: int) -> int:
        """Blocks that hold `num_tokens` tokens, the last one possibly in part."""
        return -(-num_tokens // self.block_size)
