"""Requests of every kind to a real model, what came of them, and how two of their answers differ."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.margins import Drawing, drawn_margins, greedy_margins
from tests.support.models import VOCAB

LENGTH = 120  # tokens
TOP_K = 20
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}
KINDS = ("greedy", "seeded", "n=2", "logprobs", "stop", "JSON schema", "tools")


@dataclass(frozen=True, slots=True)
class Request:
    kind: str
    path: str
    body: dict[str, Any]


@dataclass
class Choice:
    token_ids: list[int] = field(default_factory=list)
    told: list[dict[int, float]] = field(default_factory=list)  # per token: its best candidates
    finish_reason: str | None = None


@dataclass
class Answer:
    choices: list[Choice]
    num_prompt: int = 0
    error: str | None = None


def draw_requests(rng: random.Random, count: int) -> list[Request]:
    """Of all kinds in turn."""
    return [_request(KINDS[number % len(KINDS)], rng) for number in range(count)]


def _request(kind: str, rng: random.Random) -> Request:
    body: dict[str, Any] = {
        "max_tokens": LENGTH,
        "temperature": 0.0,
        "stream": True,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }
    if kind in ("JSON schema", "tools"):
        body |= {"logprobs": True, "top_logprobs": 2}
        body["messages"] = [{"role": "user", "content": f"Who is {rng.randrange(10**6)}?"}]
        if kind == "tools":
            body |= {"tools": [TOOL], "tool_choice": "required"}
        else:
            schema = {"name": "person", "schema": SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return Request(kind, "/v1/chat/completions", body)
    prompt = [rng.randrange(3, VOCAB) for _ in range(int(2 ** rng.uniform(3, 9)))]
    body |= {"prompt": prompt, "ignore_eos": True, "logprobs": TOP_K + 1}
    if kind in ("seeded", "n=2"):
        body |= {"temperature": 0.8, "top_k": TOP_K, "seed": rng.randrange(2**31)}
        body["n"] = 2 if kind == "n=2" else 1
    if kind == "stop":
        body["stop"] = [str(rng.randrange(10)), "e"]
        body["include_stop_str_in_output"] = True
    return Request(kind, "/v1/completions", body)


async def ask_all(url: str, requests: list[Request], at_once: int) -> list[Answer]:
    room = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:

        async def one(request: Request) -> Answer:
            async with room:
                return await _ask(http, request)

        return list(await asyncio.gather(*map(one, requests)))


async def _ask(http: httpx.AsyncClient, request: Request) -> Answer:
    answer = Answer([Choice() for _ in range(request.body.get("n", 1))])
    answer.num_prompt = len(request.body.get("prompt", ()))
    async with http.stream("POST", request.path, json=request.body) as response:
        if response.status_code != 200:
            answer.error = f"{response.status_code}: {(await response.aread()).decode()}"
            return answer
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                answer.error = event["error"]["message"]
                return answer
            for piece in event["choices"]:
                _add(answer.choices[piece["index"]], piece)
    return answer


def _add(choice: Choice, piece: dict[str, Any]) -> None:
    choice.token_ids += piece.get("token_ids") or []
    choice.finish_reason = piece.get("finish_reason") or choice.finish_reason
    scores = piece.get("logprobs") or {}
    for entry in scores.get("content") or ():
        choice.told.append({_id(t["token"]): t["logprob"] for t in entry["top_logprobs"]})
    for best in scores.get("top_logprobs") or ():
        choice.told.append({_id(token): value for token, value in best.items()})


def _id(token: str) -> int:
    return int(token.removeprefix("token_id:"))


def margins(request: Request, answer: Answer, index: int) -> list[float]:
    """By token of one choice of an undisturbed answer."""
    told = answer.choices[index].told
    if not request.body["temperature"]:
        return greedy_margins(told)
    seed, temperature = request.body["seed"], request.body["temperature"]
    return drawn_margins(told, Drawing(seed, index, answer.num_prompt, temperature, TOP_K))


def first_difference(one: list[int], other: list[int]) -> int | None:
    """None where they are equal."""
    if one == other:
        return None
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
