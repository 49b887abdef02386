"""Mixed requests against a cluster that is being broken: each ends in one of a few known ways."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import httpx

from baton.core.sampling_params import SamplingParams
from baton.engine.runners.hash_model import HashModelConfig
from tests.support.hash_answer import hash_answer

LONGEST = 1990  # tokens of a prompt
TURNS = 4  # of a conversation

Shown = list[tuple[list[int], str]]  # per choice: ids and finish reason


class End(Enum):
    """How a request may end."""

    ANSWER = "answer"  # whole, and what the model says
    ERROR = "error"  # a status or an event with an OpenAI error object
    LEFT = "left"  # the client went away, having seen nothing wrong
    CUT = "cut"  # the connection broke: only a gateway's death may do that
    REFUSED = "refused"  # there was no gateway


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `leaves_after`: events after which its client is gone."""

    prompt: tuple[int, ...]
    params: SamplingParams
    stream: bool
    leaves_after: int | None

    @property
    def body(self) -> dict[str, Any]:
        return {
            "prompt": list(self.prompt),
            "max_tokens": self.params.max_tokens,
            "n": self.params.n,
            "temperature": self.params.temperature,
            "seed": self.params.seed,
            "ignore_eos": self.params.ignore_eos,
            "stream": self.stream,
            "return_token_ids": True,
        }

    def after(self, said: tuple[int, ...]) -> "Asked":
        """The same with a prompt that goes on with what was said, unless that grows too long."""
        prompt = said + self.prompt[:20]
        return replace(self, prompt=prompt) if len(prompt) <= LONGEST else self


def drawn(rng: random.Random, longest_answer: int = 60) -> Asked:
    stream = rng.random() < 0.6
    return Asked(
        prompt=tuple(rng.randrange(4096) for _ in range(int(LONGEST ** rng.random()))),
        params=SamplingParams(
            rng.randint(1, longest_answer),
            seed=rng.randrange(2**31),
            temperature=rng.choice([0.0, 0.8]),
            n=rng.choice([1, 1, 2, 3]),
        ),
        stream=stream,
        leaves_after=rng.randrange(6) if stream and rng.random() < 0.2 else None,
    )


class Crowd:
    """Clients that ask at the same time; `ends` says how it went, `wrong` what must not be.

    Behind an answer a client goes on with the conversation, for a few turns; `moved` counts the
    answers whose prompt began with cached blocks of another worker.
    """

    def __init__(
        self, url: str, config: HashModelConfig, back: Callable[[], Awaitable[None]], bound: float
    ) -> None:
        """`back` waits for a gateway that is gone; `bound` is the longest a request may take."""
        self.ends: Counter[End] = Counter()
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.longest = 0.0  # seconds
        self.moved = 0
        self._said: dict[Asked, tuple[int, ...]] = {}  # prompt and answer, for its client
        self._url = url
        self._config = config
        self._back = back
        self._bound = bound

    async def ask(self, requests: list[Asked], at_once: int) -> None:
        """All of them, `at_once` at a time."""
        left = iter(requests)

        async def one_client() -> None:
            said: tuple[int, ...] = ()
            turns = 0
            async with httpx.AsyncClient(base_url=self._url, timeout=None, trust_env=False) as http:
                for fresh in left:
                    asked = fresh.after(said) if said else fresh
                    end = await self._ends(http, asked)
                    self.ends[end] += 1
                    turns = turns + 1 if said else 1
                    said = self._said.pop(asked, ()) if turns < TURNS else ()
                    if end in (End.CUT, End.REFUSED):
                        await self._back()

        await asyncio.gather(*(one_client() for _ in range(at_once)))

    async def _ends(self, http: httpx.AsyncClient, asked: Asked) -> End:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._bound):
                return await (self._streamed if asked.stream else self._whole)(http, asked)
        except httpx.ConnectError:
            return End.REFUSED
        except httpx.TransportError:
            return End.CUT
        except TimeoutError:
            self.wrong.append(f"no end after {self._bound:g} s: {_brief(asked)}")
            return End.CUT
        finally:
            self.longest = max(self.longest, loop.time() - began)

    async def _whole(self, http: httpx.AsyncClient, asked: Asked) -> End:
        response = await http.post("/v1/completions", json=asked.body)
        if response.status_code != 200:
            return self._error(response.json(), f"{response.status_code}")
        answer = response.json()
        self._note_way(answer)
        seen = [(c["token_ids"], c["finish_reason"]) for c in answer["choices"]]
        return await self._answer(asked, seen)

    async def _streamed(self, http: httpx.AsyncClient, asked: Asked) -> End:
        ids: list[list[int]] = [[] for _ in range(asked.params.n)]
        reasons: list[str | None] = [None] * asked.params.n
        events = 0
        async with http.stream("POST", "/v1/completions", json=asked.body) as response:
            if response.status_code != 200:
                return self._error(json.loads(await response.aread()), f"{response.status_code}")
            async for line in response.aiter_lines():
                if not line.startswith("data: "):
                    continue
                if line == "data: [DONE]":
                    return await self._answer(
                        asked, [(a, str(b)) for a, b in zip(ids, reasons, strict=True)]
                    )
                event = json.loads(line.removeprefix("data: "))
                if "error" in event:
                    await self._check_start(asked, ids)
                    return self._error(event, "event")
                self._note_way(event)
                for choice in event["choices"]:
                    ids[choice["index"]] += choice["token_ids"] or []
                    reasons[choice["index"]] = choice["finish_reason"] or reasons[choice["index"]]
                events += 1
                if asked.leaves_after is not None and events > asked.leaves_after:
                    await self._check_start(asked, ids)
                    return End.LEFT
        self.wrong.append(f"a stream ended without [DONE]: {_brief(asked)}")
        return End.CUT

    async def _answer(self, asked: Asked, seen: Shown) -> End:
        if seen != (right := await self._right(asked)):
            self.wrong.append(f"{_brief(asked)}: {seen} instead of {right}")
        self._said[asked] = (*asked.prompt, *right[0][0])
        return End.ANSWER

    def _note_way(self, body: dict[str, Any]) -> None:
        self.moved += bool((body.get("kv_transfer_params") or {}).get("prefix_tokens_moved"))

    async def _check_start(self, asked: Asked, ids: list[list[int]]) -> None:
        for seen, (right, _) in zip(ids, await self._right(asked), strict=True):
            if seen != right[: len(seen)]:
                self.wrong.append(f"{_brief(asked)}: begins {seen} instead of {right}")

    async def _right(self, asked: Asked) -> Shown:
        answers = await asyncio.to_thread(hash_answer, self._config, asked.prompt, asked.params)
        return [
            ([r.token_id for r in answer], answer[-1].finish_reason.value)  # type: ignore[union-attr]
            for answer in answers
        ]

    def _error(self, body: dict[str, Any], where: str) -> End:
        error = body.get("error", {})
        if set(error) != {"message", "type", "param", "code"}:
            self.wrong.append(f"not an error object: {body}")
        self.errors[f"{where}: {error.get('message')}"] += 1
        return End.ERROR


def _brief(asked: Asked) -> str:
    return f"{len(asked.prompt)} tokens, {asked.params}, {'stream' if asked.stream else 'whole'}"
