"""What every runner of a checkpoint says of its model, wherever it computes."""

from baton.core.fingerprint import Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.core.sampling_params import SamplingParams
from baton.engine.config import EngineConfig
from baton.engine.loading.checkpoint import Checkpoint
from baton.engine.sampling.logits_plugins import LogitsPlugins


class CheckpointRunner:
    """The part of a `Runner` that does not run."""

    def __init__(
        self, checkpoint: Checkpoint, config: EngineConfig, numeric_class: str = ""
    ) -> None:
        """`numeric_class` is empty unless equal bits are promised."""
        self._checkpoint = checkpoint
        self._layout = checkpoint.layout(config.block_size)
        self._fingerprint = checkpoint.fingerprint(
            config.block_size, numeric_class, config.quantization
        )
        self._plugins = LogitsPlugins(config.logits_processor_pattern, config.logits_processors)

    @property
    def layout(self) -> LayoutDescriptor:
        return self._layout

    @property
    def fingerprint(self) -> Fingerprint:
        return self._fingerprint

    @property
    def vocab_size(self) -> int:
        return self._checkpoint.vocab_size

    @property
    def eos_token_ids(self) -> frozenset[int]:
        return self._checkpoint.eos_token_ids

    @property
    def max_model_len(self) -> int:
        return self._checkpoint.max_model_len

    def check(self, params: SamplingParams) -> None:
        self._plugins.check(params)
