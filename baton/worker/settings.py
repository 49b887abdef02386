"""The settings of one worker process, whatever its role."""

from dataclasses import dataclass, replace

from baton.core.errors import SettingsError
from baton.core.labels import Labels, read_labels
from baton.core.pattern import check_pattern
from baton.engine.attention.device_choice import BACKENDS
from baton.engine.config import AUTO, OFF, ON, EngineConfig
from baton.engine.machine.core_board import MAX_WORKERS
from baton.engine.machine.device_name import device_name
from baton.engine.machine.host_cores import available_cores
from baton.engine.runners.graph_sizes import graph_rows
from baton.model_source import HubSettings
from baton.registry.redis_settings import RedisSettings
from baton.rpc.tls_settings import ClusterTls
from baton.settings import nested, setting
from baton.telemetry.logs import FORMATS, LEVELS
from baton.telemetry.tracing_settings import TracingSettings
from kv_transfer.transports import nixl_agent

_PORTS = ("port", "advertise_port", "kv_port", "advertise_kv_port", "metrics_port")
# What only a worker acts on that has the whole model and its KV.
OF_ENGINES = (
    *("quantization", "max_model_len", "max_num_seqs", "max_num_batched_tokens"),
    *("max_mixed_prompt_tokens", "kv_cache_memory_bytes", "gpu_memory_utilization"),
    *("enforce_eager", "cuda_graph_sizes", "kv_offloading_size", "block_size"),
    *("enable_prefix_caching", "core_board", "core_slot", "attention_backend", "batch_invariant"),
    *("logits_processor_pattern", "logits_processors"),
)
LONGEST_ID = 256  # characters of a worker's id
_COUNTS = (
    *("max_model_len", "max_num_seqs", "max_num_batched_tokens"),
    "max_mixed_prompt_tokens",
    *("kv_cache_memory_bytes", "threads"),
)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    model: str = setting("", "Folder of the checkpoint, or its hub id.", positional=True)
    hub: HubSettings = nested(HubSettings)
    served_model_name: tuple[str, ...] = setting(
        (),
        "What clients call the model, as told to the gateway: metrics carry the first. Default: the "
        "model as given.",
    )
    worker_id: str = setting("", "Name in the cluster, stable across restarts (default: role-pid).")
    labels: str = setting(
        "", "What requests may choose this worker by beside its name: key=value,key=value."
    )
    host: str = setting("127.0.0.1", "Address to listen on.")
    advertise_host: str = setting("", "Address that others reach this worker at (default: --host).")
    port: int = setting(0, "Port of the gRPC server; 0 takes a free one.")
    advertise_port: int = setting(
        0, "Port that others reach this worker at, where one is forwarded (default: --port)."
    )
    kv_port: int = setting(0, "Port of the TCP data plane; 0 takes a free one.")
    advertise_kv_port: int = setting(
        0,
        "Port that others reach the TCP data plane at, where one is forwarded (default: --kv-port).",
    )
    metrics_port: int = setting(0, "Port of the metrics page; 0 takes a free one.")
    registry: str = setting(
        "", "HOST:PORT of the registry to join; without it the worker stands alone."
    )
    redis: RedisSettings = nested(RedisSettings)
    cluster_secret: str = setting("", "Shown on every call inside the cluster.", secret=True)
    cluster_tls: ClusterTls = nested(ClusterTls)
    dtype: str = setting(
        "auto",
        "Of weights and KV cache; auto is the checkpoint's.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    quantization: str = setting(
        "none",
        "int8: linear layers hold weights of one byte, made at load, with a scale for each output; "
        "activations and KV cache stay as --dtype says. For CPUs, with the C++ kernels.",
        choices=("none", "int8"),
    )
    output_screen: str = setting(
        AUTO,
        "Keep a copy of a large output layer in int8, which says what logits can be among the best; only those "
        "are computed, exactly, where no others are looked at: a decode step of few sequences reads less. For "
        "CPUs with avx512_vnni, for half of the layer's bytes; auto: in workers that begin as decode workers.",
        choices=(AUTO, OFF),
    )
    max_model_len: int | None = setting(
        None, "Prompt and answer, tokens, such as 8192 or 8K (default: the model's).", size=True
    )
    max_num_seqs: int = setting(64, "Sequences in one step.")
    max_num_batched_tokens: int = setting(1024, "Tokens in one step.", size=True)
    max_mixed_prompt_tokens: int | None = setting(
        None,
        "Tokens of prompts in a step that also writes up to 16 answers (beyond that in proportion), "
        "which wait for it: less is a steadier stream, more a sooner first token (default: 80; on a "
        "CUDA device --max-num-batched-tokens).",
        size=True,
    )
    device: str = setting(
        "auto",
        "Where the model computes: cpu, cuda or cuda:N; auto: the first CUDA device, if there is one.",
    )
    kv_cache_memory_bytes: int | None = setting(
        None,
        "Size of the KV pool, such as 4GiB or 512M (default: 1GiB; on a CUDA device what "
        "--gpu-memory-utilization leaves).",
        size=True,
    )
    gpu_memory_utilization: float = setting(
        0.9,
        "Share of a CUDA device's memory that a worker may take, weights and a step's own needs "
        "included; of `baton up` all its workers on one device together.",
    )
    enforce_eager: bool = setting(
        False, "Compute decode steps on a CUDA device without CUDA graphs."
    )
    cuda_graph_sizes: tuple[str, ...] = setting(
        (),
        "Sequences of the decode steps that become CUDA graphs (default: powers of two up to "
        "--max-num-seqs).",
    )
    async_scheduling: str = setting(
        AUTO,
        "Begin the next step before the tokens of the last one are known, so that a device never waits "
        "for the host; auto: on CUDA devices. On a CPU the two get in each other's way.",
        choices=(AUTO, ON, OFF),
    )
    kv_offloading_size: float = setting(
        0.0,
        "GiB of host memory of each worker for cached KV blocks that its pool gives up, from where "
        "they come back when a prompt begins with them; 0: none.",
    )
    image_cache_memory_bytes: int = setting(
        256 << 20,
        "Memory for images that were encoded, to be found when they come again; 0: none is kept. An "
        "encode worker lends from it.",
        size=True,
    )
    block_size: int = setting(16, "Tokens per KV block, a multiple of 16.")
    enable_prefix_caching: bool = setting(
        True, "Keep the KV of prompts and answers for later prompts that begin alike."
    )
    threads: int | None = setting(
        None, "Compute threads (default: the cores that this process may use)."
    )
    core_board: str = setting(
        "",
        "File of one page in which the workers of a machine say when they rest, so that others use "
        "their cores meanwhile (`baton up --lend-cores` makes one).",
    )
    core_slot: int = setting(0, "This worker's place in --core-board, a number of its own.")
    attention_backend: str = setting(
        "auto",
        "cpu: a C++ kernel, built once; torch: slower, needs no compiler; triton, flash_attn "
        "(FlashAttention-3) and flashinfer: for CUDA devices; auto: cpu if it can be built, on a CUDA "
        "device flash_attn if it is there and made for the device, else triton.",
        choices=BACKENDS,
    )
    batch_invariant: bool = setting(
        False,
        "Promise the same bits of tokens and log-probabilities for a request, alone or in any batch, "
        "after preemption, hand-off and failover; checked at load, and refused where it does not hold.",
    )
    logits_processor_pattern: str = setting(
        "",
        "Regular expression that a name in logits_processors must match from its beginning (default: "
        "none is allowed). Whoever may name a function runs it.",
    )
    logits_processors: tuple[str, ...] = setting(
        (), "Qualified names of logits processors to load; requests steer them with vllm_xargs."
    )
    tensor_parallel_size: int = setting(1, "Devices that share one worker's model: only 1 so far.")
    enable_lora: bool = setting(False, "Serve LoRA adapters: not supported so far.")
    lora_modules: tuple[str, ...] = setting((), "LoRA adapters: not supported so far.")
    kv_transfer_config: str = setting(
        "", "vLLM's connector and role: not supported; roles are commands, see --kv-transport."
    )
    kv_transport: str = setting(
        "auto",
        "How KV blocks are read; auto: the first of shm, tcp and grpc that works between two workers; "
        "nixl: an optional extra, for RDMA.",
        choices=("auto", "shm", "tcp", "grpc", "nixl"),
    )
    kv_checksums: str = setting(
        "auto",
        "Whether each KV block that is read from a peer is compared with the peer's checksum of it; "
        "auto: when it comes from another host.",
        choices=("auto", "on", "off"),
    )
    tracing: TracingSettings = nested(TracingSettings)
    shutdown_seconds: float = setting(
        25.0, "Longest time that requests get to finish after SIGTERM or Ctrl-C."
    )
    ready_fd: int | None = setting(
        None, "File descriptor that gets one JSON line when ready, then is closed."
    )
    log_level: str = setting("info", "How much to log.", choices=LEVELS)
    log_format: str = setting("auto", "auto: text on a terminal, else JSON.", choices=FORMATS)

    def check(self) -> None:
        """Raises SettingsError for what no default can mend."""
        if not self.model:
            raise SettingsError("--model is missing: name the checkpoint's folder or hub id")
        self.check_values()

    @property
    def shown_model(self) -> str:
        """What metrics call it."""
        return self.served_model_name[0] if self.served_model_name else self.model

    def check_values(self) -> None:
        """`check` for those who do not know the model yet."""
        for name in _PORTS:
            if not 0 <= getattr(self, name) <= 65535:
                raise SettingsError(f"--{name.replace('_', '-')} must be between 0 and 65535")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                flag = "--" + name.replace("_", "-")
                raise SettingsError(f"{flag} must be at least 1, not {value}")
        if "=" in self.worker_id or len(self.worker_id) > LONGEST_ID:
            raise SettingsError(
                f"--worker-id {self.worker_id[:LONGEST_ID]!r} must be at most {LONGEST_ID} characters "
                "without =: requests name workers by id or by key=value"
            )
        try:
            self.read_labels()
        except ValueError as error:
            raise SettingsError(f"--labels: {error}") from error
        if not 0 <= self.kv_offloading_size < float("inf"):
            raise SettingsError("--kv-offloading-size must be a number of GiB, 0 or more")
        if self.kv_offloading_size and not self.enable_prefix_caching:
            raise SettingsError(
                "--kv-offloading-size keeps what the prefix cache gives up, and there is none with "
                "--no-enable-prefix-caching"
            )
        if self.image_cache_memory_bytes < 0:
            raise SettingsError("--image-cache-memory-bytes must be 0 or more")
        if not 0 <= self.core_slot < MAX_WORKERS:
            raise SettingsError(f"--core-slot must be between 0 and {MAX_WORKERS - 1}")
        device_name(self.device)
        if not 0 < self.gpu_memory_utilization <= 1:
            raise SettingsError("--gpu-memory-utilization must be above 0 and at most 1")
        graph_rows(self._graph_sizes, self.max_num_seqs)
        if self.block_size < 16 or self.block_size % 16:
            raise SettingsError(f"--block-size must be a multiple of 16, not {self.block_size}")
        if self.kv_transport == nixl_agent.NAME and not nixl_agent.importable():
            raise SettingsError(f"--kv-transport nixl: {nixl_agent.MISSING}")
        self._check_unsupported()
        check_pattern(self.logits_processor_pattern, "--logits-processor-pattern")
        if not 0 <= self.shutdown_seconds < float("inf"):
            raise SettingsError("--shutdown-seconds must be a number of seconds, 0 or more")
        if self.registry and not _is_address(self.registry):
            raise SettingsError(f"--registry {self.registry} must be HOST:PORT")
        self.redis.check()
        self.tracing.check()
        if self.registry and self.redis.place is not None:
            raise SettingsError("--registry and --redis-url name two registries; give one of them")
        if self.host in ("0.0.0.0", "::") and not self.advertise_host:
            raise SettingsError(
                f"--host {self.host} listens everywhere; say with --advertise-host at which "
                "address the other processes reach this worker"
            )
        self.cluster_tls.check(self.advertise_host or self.host)

    def check_encoder(self) -> None:
        """Of a worker that only encodes images. Raises SettingsError."""
        set_here = [name for name in OF_ENGINES if getattr(self, name) != getattr(_DEFAULTS, name)]
        if set_here:
            flags = ", ".join("--" + name.replace("_", "-") for name in set_here)
            raise SettingsError(
                f"{flags}: an encode worker has no language model and no KV; give it to those that have"
            )

    def without_engine(self) -> "WorkerSettings":
        """As an encode worker of the same cluster is told."""
        return replace(self, **{name: getattr(_DEFAULTS, name) for name in OF_ENGINES})

    def _check_unsupported(self) -> None:
        if self.tensor_parallel_size < 1:
            raise SettingsError(
                f"--tensor-parallel-size must be at least 1, not {self.tensor_parallel_size}"
            )
        if self.tensor_parallel_size > 1:
            raise SettingsError(
                f"--tensor-parallel-size {self.tensor_parallel_size} is not supported yet: a model "
                "lies whole in each worker; start more workers instead"
            )
        if self.kv_transfer_config:
            raise SettingsError(
                "--kv-transfer-config does nothing here: a worker's role is its command (baton "
                "prefill, baton decode), and --kv-transport says how KV blocks are read"
            )
        if self.enable_lora or self.lora_modules:
            raise SettingsError(
                "--enable-lora and --lora-modules are not supported yet: merge the adapter into "
                "its base model and serve that"
            )

    def read_labels(self) -> Labels:
        """Raises ValueError with a sentence."""
        return read_labels(self.labels) if self.labels else ()

    @property
    def _graph_sizes(self) -> tuple[int, ...]:
        words = self.cuda_graph_sizes
        if not all(word.isascii() and word.isdigit() for word in words):
            raise SettingsError(f"--cuda-graph-sizes takes whole numbers, not {', '.join(words)}")
        return tuple(map(int, words))

    @property
    def engine(self) -> EngineConfig:
        return EngineConfig(
            block_size=self.block_size,
            enable_prefix_caching=self.enable_prefix_caching,
            kv_cache_memory_bytes=self.kv_cache_memory_bytes,
            device=self.device,
            gpu_memory_utilization=self.gpu_memory_utilization,
            enforce_eager=self.enforce_eager,
            cuda_graph_sizes=self._graph_sizes,
            async_scheduling=self.async_scheduling,
            kv_offloading_bytes=int(self.kv_offloading_size * 2**30),
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            max_mixed_prompt_tokens=self.max_mixed_prompt_tokens,
            max_model_len=self.max_model_len,
            dtype=self.dtype,
            quantization="" if self.quantization == "none" else self.quantization,
            output_screen=self.output_screen,
            threads=self.threads or available_cores(),
            core_board=self.core_board,
            core_slot=self.core_slot,
            attention_backend=self.attention_backend,
            batch_invariant=self.batch_invariant,
            logits_processor_pattern=self.logits_processor_pattern,
            logits_processors=self.logits_processors,
        )


_DEFAULTS = WorkerSettings()


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) <= 65535
