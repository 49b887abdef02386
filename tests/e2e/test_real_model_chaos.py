"""A real model whose workers are killed: every answer is that of the undisturbed run, but for tokens
that were nearly another one there; with --batch-invariant without exception, log-probabilities
included. `make chaos` shows the table.
"""

import asyncio
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tests.support.chaos_checks import drawn_rng
from tests.support.clients import Client
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.cluster_state import nothing_is_held
from tests.support.models import make
from tests.support.oracle import say
from tests.support.programs import needed
from tests.support.real_requests import (
    KINDS,
    Answer,
    Request,
    ask_all,
    draw_requests,
    first_difference,
    margins,
)

REQUESTS = 60
KILLS = 8
AT_ONCE = 12
MOST_EXCUSED = 0.05  # of the choices
SLACK = 4.0  # a margin is of two scores, each divided by a temperature of 0.8 at least; and some


@pytest.fixture
def talker(hash_model: Path, tmp_path: Path) -> Path:
    """A small random float32 Llama whose every token has a text and that takes chats."""
    vocabulary = len(Tokenizer.from_file(str(hash_model / "tokenizer.json")).get_vocab())
    folder = make("Llama", tmp_path / "talker", vocab_size=vocabulary)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (hash_model / name).exists():
            (folder / name).write_bytes((hash_model / name).read_bytes())
    return folder


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_killed_workers_change_no_token_that_was_not_nearly_another(
    talker: Path, request: pytest.FixtureRequest
) -> None:
    rng = drawn_rng()
    flags: dict[str, Any] = {"max_num_batched_tokens": 256, "max_logprobs": 64}
    async with running_cluster(talker, 2, 2, **flags) as cluster:
        requests, undisturbed = await ask_undisturbed(cluster, rng)
        noise = await kernel_noise(cluster, requests, undisturbed)
        judge = Judge(requests, undisturbed, SLACK * noise)
        await disturb(cluster, rng, requests, judge)
    say(request, f"{KILLS} kills; kernel noise {noise:.2e}; excused below {judge.excuse:.2e}")
    say(request, "\n".join(judge.table()))
    assert judge.wrong == []
    assert judge.total("equal") > 0
    assert judge.total("excused") <= MOST_EXCUSED * judge.total("equal") + 1
    assert judge.errors == {}


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
async def test_with_equal_bits_promised_killed_workers_change_nothing(
    talker: Path, request: pytest.FixtureRequest, dtype: str
) -> None:
    needed("g++", "g++")
    rng = drawn_rng()
    flags: dict[str, Any] = {"max_num_batched_tokens": 256, "max_logprobs": 64}
    async with running_cluster(talker, 2, 2, batch_invariant=True, dtype=dtype, **flags) as cluster:
        requests, undisturbed = await ask_undisturbed(cluster, rng)
        judge = Judge(requests, undisturbed, 0.0, bits=True)
        await disturb(cluster, rng, requests, judge)
        noise = await kernel_noise(cluster, requests, undisturbed)
    say(request, f"{dtype}, --batch-invariant: {KILLS} kills; kernel noise {noise:.2e}")
    say(request, "\n".join(judge.table()))
    assert judge.wrong == []
    assert judge.total("equal") > 0
    assert judge.errors == {}
    assert noise == 0


async def ask_undisturbed(
    cluster: RunningCluster, rng: random.Random
) -> tuple[list[Request], list[Answer]]:
    requests = draw_requests(rng, REQUESTS)
    undisturbed = await ask_all(cluster.url, requests, AT_ONCE)
    assert [answer.error for answer in undisturbed if answer.error] == []
    return requests, undisturbed


async def disturb(
    cluster: RunningCluster, rng: random.Random, requests: list[Request], judge: "Judge"
) -> None:
    """Asks again and again while workers are killed."""
    killing = asyncio.create_task(kill_workers(cluster, rng))
    while not killing.done():
        judge.add(await ask_all(cluster.url, requests, AT_ONCE))
    await killing
    await nothing_is_held(cluster)


class Judge:
    """Compares answers with those of the undisturbed run, choice by choice. With `bits` also what was
    told of the best candidates.
    """

    def __init__(
        self, requests: list[Request], undisturbed: list[Answer], excuse: float, bits: bool = False
    ) -> None:
        self.excuse = excuse
        self._bits = bits
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._requests = requests
        self._undisturbed = undisturbed

    def add(self, answers: list[Answer]) -> None:
        for request, right, answer in zip(self._requests, self._undisturbed, answers, strict=True):
            if answer.error is not None:
                self.errors[answer.error] += 1
            for index in range(len(right.choices)):
                self.counts[request.kind][self._verdict(request, right, answer, index)] += 1

    def _verdict(self, request: Request, right: Answer, answer: Answer, index: int) -> str:
        expected, seen = right.choices[index], answer.choices[index]
        cut = answer.error is not None
        ids = expected.token_ids[: len(seen.token_ids)] if cut else expected.token_ids
        at = first_difference(ids, seen.token_ids)
        told = expected.told[: len(seen.told)] if cut else expected.told
        if self._bits and seen.told != told:
            self.wrong.append(f"{request.kind}: log-probabilities differ")
        if at is None:
            if not cut and seen.finish_reason != expected.finish_reason:
                self.wrong.append(f"{request.kind}: ends by {seen.finish_reason}")
            return "error" if cut else "equal"
        known = margins(request, right, index)
        margin = known[at] if at < len(known) else float("inf")
        if margin >= self.excuse:
            self.wrong.append(f"{request.kind}: token {at} differs, where the margin is {margin:g}")
        return "excused"

    def total(self, verdict: str) -> int:
        return sum(count[verdict] for count in self.counts.values())

    def table(self) -> list[str]:
        verdicts = ("equal", "excused", "error")
        lines = [f"{'choices':<12}" + "".join(f"{verdict:>9}" for verdict in verdicts)]
        for kind in KINDS:
            lines.append(f"{kind:<12}" + "".join(f"{self.counts[kind][v]:>9}" for v in verdicts))
        ended = self.total("equal") + self.total("excused")
        lines.append(f"excused share: {self.total('excused') / max(1, ended):.4f} of {ended}")
        return lines + [f"{count} x {error}" for error, count in self.errors.items()]


async def kernel_noise(
    cluster: RunningCluster, requests: list[Request], answers: list[Answer]
) -> float:
    """The largest difference between a token's log-probability as decode wrote it, step by step,
    and as prefill reads it, in chunks: what a recomputed answer differs by.
    """
    worst, compared = 0.0, 0
    async with Client(cluster.url) as client:
        for asked, answer in zip(requests, answers, strict=True):
            if asked.kind != "greedy":
                continue
            choice = answer.choices[0]
            body = {"prompt": asked.body["prompt"] + choice.token_ids, "max_tokens": 1}
            response = await client.post("/v1/completions", {**body, "prompt_logprobs": 1})
            response.raise_for_status()
            read = response.json()["choices"][0]["prompt_logprobs"][answer.num_prompt :]
            for token, told, entry in zip(choice.token_ids, choice.told, read, strict=True):
                worst = max(worst, abs(told[token] - entry[str(token)]["logprob"]))
                compared += 1
    assert compared, "nothing was measured"
    return worst


async def kill_workers(cluster: RunningCluster, rng: random.Random) -> None:
    """One after the other, so that each role keeps a worker; the next as soon as one is back."""
    names = ["prefill-0", "decode-0", "prefill-1", "decode-1"]
    for number in range(KILLS):
        victim = names[number % len(names)]
        await asyncio.sleep(rng.uniform(0.3, 1.5))
        life = 2 + number // len(names)
        await cluster.kill(victim)
        await cluster.until_restarted(victim, life)
