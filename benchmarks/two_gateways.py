"""Two gateways that share a Redis beside one: cached tokens, exactness of global limits, a lost Redis.

python -m benchmarks.two_gateways hits limits outage --rounds 6

Real gateways, workers and redis-server; the hash model, so that the machine's cores are not what is measured.
`hits`: conversations of several turns whose prompts begin with one of some shared texts, so many that
the pools cannot keep all. Each round they are held twice, the same token for token but under a new
cache_salt: over the first gateway alone, and each request over one of both, drawn. `limits`: two
clients a gateway ask for far more than a tenant may have. `outage`: Redis is killed and comes back
empty while both gateways are busy.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import Any

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.http_stream import asked
from benchmarks.measures import ratio_of
from benchmarks.overload import visit
from benchmarks.shared_gateways import Gateways, gateways

PARTS = ("hits", "limits", "outage")
STEP = 0.01  # seconds
POOL = 8_000  # tokens, of each worker
HITS, LIMITS = 0.02, 0.05  # how far from one gateway, and from the limit
PATIENCE = 60.0  # seconds
REQUESTS, TOKENS, AT_ONCE = 300, 9000, 6  # limits of the tenants, each has one
TENANTS: list[dict[str, Any]] = [
    {"name": "free", "keys": ["free"]},
    {"name": "requests", "keys": ["requests"], "requests_per_minute": REQUESTS},
    {"name": "tokens", "keys": ["tokens"], "tokens_per_minute": TOKENS},
    {"name": "at-once", "keys": ["at-once"], "concurrent_requests": AT_ONCE},
]
IDS = range(300, 4000)
SHARED, SHARED_TOKENS, SKEW = 12, 768, 0.8  # beginnings, their length, and how unequal they are
TURNS, QUESTION, ANSWER = 4, 96, 32  # tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """One request. Seconds of one clock."""

    status: int
    sent: float
    ended: float
    reason: str = ""  # of a refusal
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation before anybody answered."""

    at: float  # seconds
    questions: tuple[tuple[int, ...], ...]  # the first with what is shared
    pauses: tuple[float, ...]  # seconds behind each answer
    routes: tuple[float, ...]  # of each turn, in [0, 1)


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--rounds", default=6, show_default=True, type=click.IntRange(1), help="Of hits.")
@click.option("--talks", default=40, show_default=True, help="Conversations, of a turn of hits.")
@click.option("--seconds", default=12.0, show_default=True, help="In which they begin.")
@click.option("--limited", default=30.0, show_default=True, help="Seconds, of limits.")
@click.option("--seed", default=1, show_default=True)
def main(
    parts: tuple[str, ...], rounds: int, talks: int, seconds: float, limited: float, seed: int
) -> None:
    """Exit code 1: a target was missed."""
    met = True
    with gateways(2, TENANTS, POOL, STEP) as cluster:
        for part in parts or PARTS:
            if part == "hits":
                met &= asyncio.run(hits(cluster, rounds, talks, seconds, seed))
            elif part == "limits":
                met &= asyncio.run(limits(cluster, limited))
            else:
                met &= asyncio.run(outage(cluster))
    sys.exit(0 if met else 1)


async def hits(cluster: Gateways, rounds: int, count: int, seconds: float, seed: int) -> bool:
    pairs: list[tuple[float, float]] = []
    await held(cluster, drawn(count, seconds / 2, random.Random(f"{seed}/warm")), 1, "warm")
    for number in range(rounds):
        talks = drawn(count, seconds, random.Random(f"{seed}/{number}"))
        share: dict[int, float] = {}
        for used in (2, 1) if number % 2 else (1, 2):
            share[used] = await held(cluster, talks, used, f"{seed}-{number}-{used}")
        pairs.append((share[2], share[1]))
        click.echo(f"round {number + 1}: cached {share[1]:.4f} by one, {share[2]:.4f} by two")
    ratio = ratio_of(pairs)
    click.echo(
        f"hits: cached share of prompts, two gateways by one: {ratio.median:.4f} "
        f"[{ratio.low:.4f} .. {ratio.high:.4f}], {rounds} rounds; within {HITS} of 1 is wanted"
    )
    return abs(ratio.median - 1) <= HITS


def drawn(count: int, seconds: float, draw: random.Random) -> list[Talk]:
    shared = [tuple(draw.choices(IDS, k=SHARED_TOKENS)) for _ in range(SHARED)]
    weights = list(accumulate((rank + 1) ** -SKEW for rank in range(SHARED)))
    talks = []
    for _ in range(count):
        [begin] = draw.choices(shared, cum_weights=weights)
        asked = [tuple(draw.choices(IDS, k=QUESTION)) for _ in range(TURNS)]
        talks.append(
            Talk(
                draw.uniform(0, seconds),
                (begin + asked[0], *asked[1:]),
                tuple(draw.expovariate(2) for _ in range(TURNS)),
                tuple(draw.random() for _ in range(TURNS)),
            )
        )
    return talks


async def held(cluster: Gateways, talks: Iterable[Talk], used: int, salt: str) -> float:
    """The share of all prompts' tokens that was cached, over the first so many gateways."""
    begin = _now()

    async def one(talk: Talk) -> list[Answer]:
        await asyncio.sleep(max(0.0, begin + talk.at - _now()))
        said: tuple[int, ...] = ()
        answers = []
        for question, pause, route in zip(talk.questions, talk.pauses, talk.routes, strict=True):
            url = cluster.urls[int(route * used)]
            said += question
            answers.append(await ask(url, cluster.model, said, ANSWER, "free", salt))
            said += answers[-1].tokens
            await asyncio.sleep(pause)
        return answers

    answers = [one for several in await asyncio.gather(*map(one, talks)) for one in several]
    _check_all_served(answers)
    return sum(one.cached_tokens for one in answers) / sum(one.prompt_tokens for one in answers)


async def limits(cluster: Gateways, seconds: float) -> bool:
    met = await limit_of_requests(cluster, seconds)
    met &= await limit_of_tokens(cluster, seconds)
    return met & await limit_at_once(cluster, seconds / 2)


async def limit_of_requests(cluster: Gateways, seconds: float) -> bool:
    answers = await come(cluster, 3 * REQUESTS / 60 + REQUESTS / seconds, seconds, "requests", 16)
    granted = [one for one in answers if one.status == 200]
    return tell_limit("requests_per_minute", answers, len(granted), REQUESTS, seconds)


async def limit_of_tokens(cluster: Gateways, seconds: float) -> bool:
    """Each costs 64 tokens in the end."""
    answers = await come(
        cluster, 3 * TOKENS / 60 / 64 + TOKENS / 64 / seconds, seconds, "tokens", 48
    )
    used = sum(one.prompt_tokens + len(one.tokens) for one in answers if one.status == 200)
    return tell_limit("tokens_per_minute", answers, used, TOKENS, seconds)


def tell_limit(
    name: str, answers: Sequence[Answer], used: float, per_minute: float, seconds: float
) -> bool:
    """A minute's worth at once, and what came in since."""
    wanted = per_minute * (1 + seconds / 60)
    refused = Counter(one.reason for one in answers if one.status == 429)
    click.echo(
        f"limits: {name} {per_minute}: {used} in {seconds:g} s by two gateways, {wanted:g} is exact: "
        f"{used / wanted:.4f}; refused {dict(refused)}"
    )
    return abs(used / wanted - 1) <= LIMITS and set(refused) == {name}


async def come(
    cluster: Gateways, rate: float, seconds: float, key: str, prompt: int
) -> list[Answer]:
    """Poisson, each to a gateway that is drawn."""
    draw = random.Random(f"{key}/{seconds}")
    running: list[asyncio.Task[Answer]] = []
    at, begin = draw.expovariate(rate), _now()
    while at < seconds:
        await asyncio.sleep(max(0.0, begin + at - _now()))
        tokens = tuple(draw.choices(IDS, k=prompt))
        asking = ask(draw.choice(cluster.urls), cluster.model, tokens, 16, key)
        running.append(asyncio.create_task(asking))
        at += draw.expovariate(rate)
    return [*await asyncio.gather(*running)]


async def limit_at_once(cluster: Gateways, seconds: float) -> bool:
    """Clients of both gateways, twice as many as may be served; whoever is refused comes again at once.
    From first to last token it runs for certain; from asking to the end it may have.
    """
    end = _now() + seconds
    served: list[tuple[float, float, float]] = []  # asked, first token, end
    refused = 0

    async def client(url: str, number: int) -> None:
        nonlocal refused
        wanted = {**_wanted(cluster.model, (300 + number,) * 16, 128), "stream": True}
        while _now() < end:
            asked_at = _now()
            seen = await visit(url, wanted, "at-once")
            if seen.status == 200:
                served.append((asked_at, asked_at + seen.seconds, seen.ended))
            else:
                refused += seen.status == 429
                await asyncio.sleep(0.01)

    urls = [url for url in cluster.urls for _ in range(AT_ONCE)]
    await asyncio.gather(*(client(url, number) for number, url in enumerate(urls)))
    ticks = sorted([(first, 1) for _, first, _ in served] + [(last, -1) for *_, last in served])
    most = max(accumulate(step for _, step in ticks))
    begin = min(asked_at for asked_at, *_ in served)
    busy = sum(min(last, end) - asked_at for asked_at, _, last in served)
    mean = busy / (end - begin)
    click.echo(
        f"limits: concurrent_requests {AT_ONCE}: at most {most} at once by two gateways, {mean:.2f} on the "
        f"average = {mean / AT_ONCE:.4f}; {len(served)} served, {refused} refused"
    )
    return most <= AT_ONCE and abs(mean / AT_ONCE - 1) <= LIMITS


async def outage(cluster: Gateways) -> bool:
    """Two seconds with it, three without, five with another, empty one."""
    answers: list[Answer] = []
    over = asyncio.Event()

    async def client(url: str, key: str, number: int) -> None:
        while not over.is_set():
            answers.append(await ask(url, cluster.model, (300 + number,) * 64, 16, key))

    keys = ("free", "free", "free", "at-once")
    clients = [
        asyncio.create_task(client(url, key, number))
        for number, url in enumerate(cluster.urls)
        for key in keys
    ]
    await asyncio.sleep(2)
    cluster.redis.kill()
    await asyncio.sleep(3)
    cluster.redis.start()
    await asyncio.sleep(5)
    over.set()
    await asyncio.gather(*clients)
    broken = Counter(one.status for one in answers if one.status != 200)
    waits = sorted(one.ended - one.sent for one in answers)
    click.echo(
        f"outage: {len(answers)} requests over both while Redis was killed and came back, {broken.total()} "
        f"failed {dict(broken) or ''}; median {median(waits) * 1e3:.0f} ms, longest {waits[-1] * 1e3:.0f}"
    )
    return not broken


async def ask(
    url: str, model: str, prompt: tuple[int, ...], output: int, key: str, salt: str = ""
) -> Answer:
    """Status 0: the connection broke, or it took too long."""
    wanted: dict[str, Any] = {
        "model": model,
        "prompt": prompt,
        "max_tokens": output,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }
    if salt:
        wanted["cache_salt"] = salt
    sent, body = _now(), json.dumps(wanted).encode()
    try:
        async with (
            asyncio.timeout(PATIENCE),
            asked(ApiClient(url, key=key), "POST", "/v1/completions", body) as answer,
        ):
            said = json.loads(b"".join([line async for line in answer.lines]))
            reason = answer.headers.get("x-baton-reason", "")
            if answer.status != 200:
                return Answer(answer.status, sent, _now(), reason)
    except (OSError, TimeoutError, ValueError) as error:
        click.echo(f"a request broke: {error!r}", err=True)
        return Answer(0, sent, _now())
    usage = said["usage"]
    return Answer(
        *(200, sent, _now(), "", usage["prompt_tokens"]),
        usage["prompt_tokens_details"]["cached_tokens"],
        tuple(said["choices"][0]["token_ids"]),
    )


def _wanted(model: str, prompt: tuple[int, ...], output: int) -> dict[str, Any]:
    lengths = {"max_tokens": output, "ignore_eos": True, "temperature": 0}
    return {"model": model, "prompt": prompt, **lengths}


def _check_all_served(answers: Iterable[Answer]) -> None:
    statuses = Counter(one.status for one in answers)
    if statuses.keys() != {200}:
        raise click.ClickException(f"not everybody was served: {dict(statuses)}")


def _now() -> float:
    return time.perf_counter()


if __name__ == "__main__":
    main()
