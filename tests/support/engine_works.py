"""Short ways to write works."""

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.engine.work import Mode, Work

GREEDY = SamplingParams(max_tokens=8, seed=0, temperature=0.0)


def prompt_of(length: int, salt: int = 0) -> tuple[int, ...]:
    """Distinct prompts for distinct salts, within a vocabulary of 97."""
    return tuple((salt * 31 + index * 7 + index * index) % 97 for index in range(length))


def sampled(
    max_tokens: int = 8, seed: int = 1, n: int = 1, ignore_eos: bool = True
) -> SamplingParams:
    return SamplingParams(max_tokens=max_tokens, seed=seed, n=n, ignore_eos=ignore_eos)


def generate(
    key: str,
    prompt: tuple[int, ...],
    params: SamplingParams = GREEDY,
    cache_salt: str = "",
    tenant: str = "",
) -> Work:
    return Work(key, prompt, params, Mode.GENERATE, cache_salt=cache_salt, tenant=tenant)


def prefill(
    key: str,
    prompt: tuple[int, ...],
    params: SamplingParams = GREEDY,
    cache_salt: str = "",
    tenant: str = "",
) -> Work:
    return Work(key, prompt, params, Mode.PREFILL, cache_salt=cache_salt, tenant=tenant)


def decode(
    key: str,
    prompt: tuple[int, ...],
    blocks: tuple[int, ...],
    first: tuple[TokenRecord, ...],
    params: SamplingParams = GREEDY,
) -> Work:
    return Work(key, prompt, params, Mode.DECODE, blocks, first)
