"""What structured output costs: compiling, masks per token, and one constrained row of a batch.

python -m benchmarks.structured --vocab 151936 --rounds 7
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TypeVar

import click
import torch
from llguidance import LLTokenizer
from tokenizers import Tokenizer

from baton.cluster.model_tokenizer import train_tokenizer
from baton.cluster.model_weights import SHAPES, save_random_weights
from baton.core.sampling_params import Grammar, SamplingParams
from baton.engine.attention.choice import choose_attention
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.config import EngineConfig
from baton.engine.loading.checkpoint import load_checkpoint
from baton.engine.modules.packed_linear import pack_linears
from baton.engine.packing import packs_linears
from baton.engine.plan import Draw, Slice, StepPlan
from baton.engine.runners.torch_runner import TorchRunner
from baton.engine.sampling.grammar_masks import GrammarMasks
from baton.grammars.compiled import compile_grammar
from baton.grammars.tokens import grammar_tokens
from benchmarks.measures import ratio_of
from gateway.structured.json_schema import JsonOptions, json_grammar
from gateway.structured.text_grammars import choice_grammar, regex_grammar, to_lark
from gateway.structured.tool_calls import Markup, forced_calls
from gateway.tool_use import ToolFunction

T = TypeVar("T")

EOS = 2
BATCH, CONTEXT, BLOCK = 16, 512, 16
FREE = SamplingParams(max_tokens=1 << 20, seed=0, temperature=0.0)
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "mail": {"type": "string", "format": "email"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            "required": ["city"],
        },
    },
    "required": ["name", "age", "address"],
}
TEXT = json.dumps(
    {
        "name": "Ada Lovelace, Countess of Lovelace",
        "age": 36,
        "tags": ["mathematics", "the analytical engine", "first programmer"],
        "address": {"street": "St James's Square 12", "city": "London"},
    }
)
ARITHMETIC = 'root ::= term ([-+*/] term)*\nterm ::= [0-9]+ | "(" root ")"'
TOOLS = [ToolFunction(f"tool_{number}", PERSON) for number in range(20)]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    grammar: str
    text: str  # an answer


CASES = (
    Case("JSON schema", json_grammar(PERSON, JsonOptions()), TEXT),
    Case("any JSON object", json_grammar({"type": "object"}, JsonOptions()), TEXT),
    Case("regex", regex_grammar(r"[a-z ]{1,200}\.[0-9]{4}"), "the quick brown fox jumps.2026"),
    Case("1000 choices", choice_grammar([f"choice number {n}" for n in range(1000)]), "choice number 77"),
    Case("EBNF", to_lark(ARITHMETIC), "12*(3+45)-(6/(7+8))*9"),
    Case(
        "20 tools",
        forced_calls(TOOLS, None, Markup.HERMES),
        f'<tool_call>\n{{"name": "tool_7", "arguments": {TEXT}}}\n</tool_call>',
    ),
)  # fmt: skip


class InLine(GrammarMasks):
    """The baseline: masks are filled when they are needed."""

    def begin(self, draws: Sequence[Draw]) -> None:
        pass


@click.command()
@click.option("--vocab", default=151_936, show_default=True, type=click.IntRange(1000))
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
def main(vocab: int, dtype: str, threads: int, rounds: int) -> None:
    """Rounds take turns; one more round before them is not measured."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        click.echo(f"training a tokenizer of {vocab} tokens and making a random model")
        folder = Path(scratch)
        train_tokenizer(vocab, max_chars=60_000_000, max_length=4096).save_pretrained(folder)
        save_random_weights(SHAPES["tiny_llama"](vocab, 4096, EOS, 0), folder)
        tokens = loaded(folder, vocab)
        for case in CASES:
            click.echo(compiled_and_filled(case, tokens, rounds))
        steps(folder, dtype, threads, tokens, rounds)


def loaded(folder: Path, vocab: int) -> LLTokenizer:
    begun = time.perf_counter()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = grammar_tokens(tokenizer, vocab, {EOS})
    click.echo(f"the vocabulary, once: {time.perf_counter() - begun:.2f} s")
    return tokens


def compiled_and_filled(case: Case, tokens: LLTokenizer, rounds: int) -> str:
    ids = tokens.tokenize_str(case.text)
    builds, fills = [], []
    for number in range(rounds + 1):
        build, matcher = timed(lambda: compile_grammar(case.grammar, tokens))
        took = []
        for token in ids:
            took.append(timed(matcher.compute_logit_bias)[0])
            assert matcher.consume_token(token), f"{case.name}: {case.text} does not fit"
        if number:
            builds.append(build)
            fills += took
    fills.sort()
    return (
        f"{case.name:<16} compile {median(builds) * 1e3:7.2f} ms   mask {median(fills) * 1e6:6.0f} us  "
        f"p99 {fills[int(len(fills) * 0.99)] * 1e6:6.0f}  max {fills[-1] * 1e6:6.0f}  ({len(ids)} tokens)"
    )


def steps(folder: Path, dtype: str, threads: int, tokens: LLTokenizer, rounds: int) -> None:
    config = EngineConfig(block_size=BLOCK, dtype=dtype, threads=threads)
    checkpoint = load_checkpoint(str(folder), dtype)
    if packs_linears(checkpoint.dtype):
        pack_linears(checkpoint.model)
    runners = {}
    for kind in (GrammarMasks, InLine):
        masks = kind(folder, checkpoint.vocab_size, checkpoint.eos_token_ids)
        runners[kind] = TorchRunner(checkpoint, config, choose_attention("auto", {}), masks)
    blocks = CONTEXT // BLOCK
    with KvPool(checkpoint.layout(BLOCK), BATCH * blocks) as pool:
        pool.view[: pool.canary_offset : 64] = bytes(-(-pool.canary_offset // 64))  # its pages
        for runner in runners.values():
            runner.attach(pool)
        for constrained in (1, BATCH):
            plans = answers(tokens, constrained)
            found = [
                one_round(runners[GrammarMasks], runners[InLine], plans) for _ in range(rounds + 1)
            ][1:]
            for clock, name in enumerate(("time", "engine thread's CPU time")):
                free, beside, in_line = ([one[kind][clock] for one in found] for kind in range(3))
                click.echo(
                    f"{constrained:>2} of {BATCH} rows, {name}: free {median(free) * 1e3:.2f} ms a step;  "
                    f"beside the forward pass {told(beside, free)};  in line {told(in_line, free)}"
                )


def one_round(
    threaded: TorchRunner, in_line: TorchRunner, plans: list[StepPlan]
) -> list[tuple[float, float]]:
    """(time, CPU time of this thread) of a step, medians: free, masks beside the forward pass, in
    line; in turns.
    """
    times: list[list[tuple[float, float]]] = [[], [], []]
    for plan in plans:
        kinds = ((threaded, freed(plan)), (threaded, plan), (in_line, plan))
        for kind, (runner, steps) in enumerate(kinds):
            times[kind].append(step_time(runner, steps))
    return [(median(t for t, _ in kind), median(c for _, c in kind)) for kind in times]


def told(values: list[float], base: list[float]) -> str:
    found = ratio_of(list(zip(values, base, strict=True)))
    return f"{found.median:.3f} ({found.low:.3f} to {found.high:.3f})"


def answers(tokens: LLTokenizer, constrained: int) -> list[StepPlan]:
    """Decode steps along a JSON answer, which the first rows of the batch write."""
    ids = tokens.tokenize_str(TEXT)
    bound = replace(FREE, grammar=Grammar(CASES[0].grammar))
    blocks = CONTEXT // BLOCK
    plans = []
    for length in range(0, len(ids), 2):
        slices = []
        for row in range(BATCH):
            params = bound if row < constrained else FREE
            draw = Draw(0, CONTEXT, params, str(row), ids[:length], 0)
            table = tuple(range(row * blocks, (row + 1) * blocks))
            slices.append(Slice((7,), CONTEXT - 1, table, (draw,)))
        plans.append(StepPlan(tuple(slices)))
    return plans


def freed(plan: StepPlan) -> StepPlan:
    return StepPlan(
        tuple(replace(s, draws=(replace(s.draws[0], params=FREE),)) for s in plan.slices)
    )


def step_time(runner: TorchRunner, plan: StepPlan) -> tuple[float, float]:
    """Seconds, and of those on this thread's CPU: other load on the machine is not in them."""
    start, cpu = time.perf_counter(), time.thread_time()
    results = runner.run(plan)
    took = time.perf_counter() - start, time.thread_time() - cpu
    assert not any(isinstance(result, Exception) for result in results)
    return took


def timed(act: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    made = act()
    return time.perf_counter() - start, made


if __name__ == "__main__":
    main()
