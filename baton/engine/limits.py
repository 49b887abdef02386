"""What one engine can hold, and which works can therefore never be served."""

from dataclasses import dataclass

from baton.core.block_hashes import HASH_BLOCK
from baton.core.errors import InternalError, RequestError, SettingsError
from baton.core.layout import LayoutDescriptor
from baton.core.sampling_params import SamplingParams
from baton.engine.config import EngineConfig
from baton.engine.plan import Runner
from baton.engine.work import Mode, Work

MIXED_ON_CPU = 80  # tokens of prompts, five for each answer: one to two decode steps more
MIXED_WITH = 16  # answers, up to which a step reads no more of prompts than is set


@dataclass(frozen=True, slots=True)
class Limits:
    """A sequence of `max_model_len` tokens always fits into the pool when it is alone."""

    block_size: int  # tokens
    max_num_seqs: int  # sequences in one step
    max_num_batched_tokens: int  # tokens in one step
    max_mixed_prompt_tokens: int  # of them, tokens of prompts beside answers being written
    max_model_len: int  # prompt + answer, tokens
    vocab_size: int
    eos_token_ids: frozenset[int]
    num_blocks: int  # of the pool

    def mixed_prompt_tokens(self, writers: int) -> int:
        """Of prompts, in a step that also writes so many answers. It grows with them, as the step
        does, and so that short answers cannot finish faster than prompts are read.
        """
        return self.max_mixed_prompt_tokens * max(writers, MIXED_WITH) // MIXED_WITH

    def blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.block_size)

    def search_len(self, prompt_len: int, params: SamplingParams) -> int:
        """Prompt + answer of a beam search, tokens: as many as `n` beams that share no more than
        the prompt's full blocks can have in this pool, and one more than the prompt at least.
        """
        shared = prompt_len // self.block_size
        fits = (shared + (self.num_blocks - shared) // params.n) * self.block_size
        wanted = min(prompt_len + params.max_tokens, self.max_model_len)
        return max(prompt_len + 1, min(wanted, fits))

    def blocks_to_seat(self, work: Work, num_tokens: int) -> int:
        """Free or cached blocks with which a sequence that knows `num_tokens` is let in: of all
        that it knows and the next token, as many times as a search will have beams.
        """
        if work.mode is Mode.PREFILL:
            return self.blocks_for(num_tokens)
        needed = self.blocks_for(num_tokens + 1)
        if not work.searches or self.search_len(num_tokens, work.params) == num_tokens + 1:
            return needed
        shared = num_tokens // self.block_size
        return shared + (needed - shared) * work.params.n


def num_blocks_for(config: EngineConfig, layout: LayoutDescriptor) -> int:
    """Whole blocks within the memory given to the pool; at least one, or SettingsError."""
    num_blocks = config.pool_bytes // layout.block_bytes
    if not num_blocks:
        raise SettingsError(
            f"--kv-cache-memory-bytes {config.pool_bytes} is less than one block "
            f"of this model ({layout.block_bytes} bytes)"
        )
    return num_blocks


def num_slots_for(config: EngineConfig, layout: LayoutDescriptor) -> int:
    """Whole blocks within the host memory for what the pool gives up; 0 where there is none.

    Raises SettingsError where it would hold nothing.
    """
    if not config.kv_offloading_bytes:
        return 0
    num_slots = config.kv_offloading_bytes // layout.block_bytes
    if not num_slots:
        raise SettingsError(
            f"--kv-offloading-size: {config.kv_offloading_bytes} bytes are less than one block "
            f"of this model ({layout.block_bytes} bytes)"
        )
    return num_slots


def limits_for(config: EngineConfig, runner: Runner, num_blocks: int) -> Limits:
    """Raises SettingsError where the settings contradict each other, the model or the pool."""
    _check_sizes(config)
    return Limits(
        block_size=config.block_size,
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        max_mixed_prompt_tokens=config.max_mixed_prompt_tokens or MIXED_ON_CPU,
        max_model_len=_max_model_len(config, runner, num_blocks),
        vocab_size=runner.vocab_size,
        eos_token_ids=runner.eos_token_ids,
        num_blocks=num_blocks,
    )


def check_work(work: Work, limits: Limits) -> None:
    """Raises RequestError for what can never be served, InternalError for what no caller may ask."""
    if not work.prompt:
        raise RequestError("the prompt has no tokens", "prompt")
    if work.answered:
        _check_answered(work, limits)
    if work.images:
        _check_images(work)
    if min(work.prompt) < 0 or max(work.prompt) >= limits.vocab_size:
        raise RequestError(f"the prompt has token ids outside 0..{limits.vocab_size - 1}", "prompt")
    if len(work.prompt) >= limits.max_model_len:
        raise RequestError(
            f"the prompt has {len(work.prompt)} tokens; with at least one token of answer "
            f"it does not fit into the maximum context length of {limits.max_model_len} tokens",
            "prompt",
        )
    if work.params.max_tokens < 1:
        raise RequestError("max_tokens must be at least 1", "max_tokens")
    if work.params.n < 1:
        raise RequestError("n must be at least 1", "n")
    if work.searches:
        _check_width(work, limits)
    _check_ids(work.params, limits)
    _check_adopted(work, limits)


def _check_images(work: Work) -> None:
    """The gateway has placed them."""
    ends = [0, *(image.end for image in work.images)]
    starts = [*(image.start for image in work.images), len(work.prompt)]
    empty = any(image.num_tokens < 1 for image in work.images)
    if empty or any(end > start for end, start in zip(ends, starts, strict=True)):
        raise InternalError(f"{work.key}: the prompt's images overlap or leave it")
    if work.embeddings and len(work.embeddings) != len(work.images):
        raise InternalError(
            f"{work.key}: {len(work.embeddings)} of {len(work.images)} images are encoded"
        )


def _check_answered(work: Work, limits: Limits) -> None:
    """One token more must fit: the one that is to be drawn next."""
    params = work.params
    if params.n != 1:
        raise RequestError("an answer is continued by itself: n must be 1", "n")
    if params.beam is not None:
        raise RequestError("a beam search cannot be continued", "use_beam_search")
    if not 0 <= min(work.answered) <= max(work.answered) < limits.vocab_size:
        raise RequestError(f"the answer has token ids outside 0..{limits.vocab_size - 1}")
    if len(work.answered) >= params.max_tokens or work.num_known >= limits.max_model_len:
        raise RequestError(
            f"an answer of {len(work.answered)} tokens behind a prompt of {len(work.prompt)} is "
            f"complete: max_tokens is {params.max_tokens}, the maximum context length "
            f"{limits.max_model_len}",
            "max_tokens",
        )


def _check_width(work: Work, limits: Limits) -> None:
    """Beams are computed in one step; each is continued by twice as many tokens as there are beams."""
    widest = min(limits.max_num_seqs, limits.vocab_size // 2)
    if work.params.n > widest:
        raise RequestError(
            f"a beam search of n {work.params.n} is too wide: this worker computes at most {widest} "
            "beams (--max-num-seqs)",
            "n",
        )


def _check_ids(params: SamplingParams, limits: Limits) -> None:
    """The gateway has checked them against what it knows of the model; here a row has no others."""
    named = {
        "stop_token_ids": params.stop_token_ids,
        "allowed_token_ids": params.allowed_token_ids,
        "logit_bias": [token_id for token_id, _ in params.logit_bias],
        "bad_words": [token_id for word in params.bad_words for token_id in word],
    }
    for field, ids in named.items():
        if ids and not 0 <= min(ids) <= max(ids) < limits.vocab_size:
            raise RequestError(f"{field} has token ids outside 0..{limits.vocab_size - 1}", field)


def _check_adopted(work: Work, limits: Limits) -> None:
    if work.mode is not Mode.DECODE:
        if work.blocks or work.first:
            raise InternalError(f"{work.key}: {work.mode.value} starts without blocks and records")
        return
    if len(work.blocks) != limits.blocks_for(work.num_known):
        raise InternalError(
            f"{work.key}: {len(work.blocks)} blocks do not hold {work.num_known} tokens exactly"
        )
    if work.searches:
        if work.first:
            raise InternalError(f"{work.key}: a search starts without records")
        return
    named = [(record.choice, record.position) for record in work.first]
    if sorted(named) != [(choice, work.num_known) for choice in range(work.params.n)]:
        raise InternalError(f"{work.key}: the first tokens {named} are not one per choice")


def _check_sizes(config: EngineConfig) -> None:
    if config.block_size < HASH_BLOCK or config.block_size % HASH_BLOCK:
        raise SettingsError(
            f"--block-size {config.block_size} must be a multiple of {HASH_BLOCK} tokens"
        )
    if config.max_num_seqs < 1:
        raise SettingsError(f"--max-num-seqs {config.max_num_seqs} must be at least 1")
    least = config.max_num_seqs + config.block_size
    if config.max_num_batched_tokens < least:
        raise SettingsError(
            f"--max-num-batched-tokens {config.max_num_batched_tokens} must be at least {least} "
            "(--max-num-seqs + --block-size), so that a full batch leaves room for a prompt"
        )
    mixed = config.max_mixed_prompt_tokens
    if mixed is not None and mixed < config.block_size:
        raise SettingsError(
            f"--max-mixed-prompt-tokens {mixed} must be at least the "
            f"{config.block_size} of --block-size: prompts are read in whole blocks"
        )


def _max_model_len(config: EngineConfig, runner: Runner, num_blocks: int) -> int:
    held = num_blocks * config.block_size
    if config.max_model_len is None:
        return min(runner.max_model_len, held)
    if config.max_model_len < 2:
        raise SettingsError(f"--max-model-len {config.max_model_len} must be at least 2")
    if config.max_model_len > runner.max_model_len:
        raise SettingsError(
            f"--max-model-len {config.max_model_len} is more than the model's {runner.max_model_len}"
        )
    if config.max_model_len > held:
        raise SettingsError(
            f"--max-model-len {config.max_model_len} is more than the {held} tokens that the KV "
            "pool holds: raise --kv-cache-memory-bytes or lower --max-model-len"
        )
    return config.max_model_len
