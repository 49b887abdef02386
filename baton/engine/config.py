"""The sizes an engine works within."""

from dataclasses import dataclass

CPU_POOL_BYTES = 1 << 30
AUTO, ON, OFF = "auto", "on", "off"


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """`max_model_len` None: the model's own length, or what the pool holds if that is less."""

    block_size: int = 16  # tokens, a multiple of 16
    # Of the pool; None: 1 GiB, on a CUDA device what gpu_memory_utilization leaves.
    kv_cache_memory_bytes: int | None = None
    max_num_seqs: int = 64  # sequences in one step
    max_num_batched_tokens: int = 1024  # tokens in one step
    # Of prompts, in a step that writes up to 16 answers as well. None: 96, on a CUDA device the budget.
    max_mixed_prompt_tokens: int | None = None
    max_model_len: int | None = None
    dtype: str = "auto"  # auto (the checkpoint's), float32, bfloat16
    quantization: str = ""  # what weights become at load: int8, or empty: nothing else
    # auto, off: an int8 copy of a large output layer bounds its logits, and the best are computed.
    output_screen: str = OFF
    threads: int = 1
    core_board: str = ""  # file of the `CoreBoard` where cores are lent; empty: none are
    core_slot: int = 0  # ours on it
    device: str = "cpu"  # auto, cpu, cuda, cuda:N
    gpu_memory_utilization: float = 0.9  # share of a CUDA device that is this engine's
    enforce_eager: bool = False  # no CUDA graphs
    cuda_graph_sizes: tuple[int, ...] = ()  # rows; empty: powers of two
    # auto, on, off: the next step is begun before the result of the last is known. auto: on CUDA devices.
    async_scheduling: str = AUTO
    attention_backend: str = "auto"  # one of `attention.device_choice.BACKENDS`
    batch_invariant: bool = (
        False  # promise equal bits, however a request is computed; see numeric_class
    )
    enable_prefix_caching: bool = True
    kv_offloading_bytes: int = 0  # host memory for cached blocks that the pool gives up; 0: none
    logits_processor_pattern: str = ""  # of those that a request may name; empty: none
    logits_processors: tuple[str, ...] = ()  # loaded at the start, by qualified name

    @property
    def pool_bytes(self) -> int:
        return CPU_POOL_BYTES if self.kv_cache_memory_bytes is None else self.kv_cache_memory_bytes
