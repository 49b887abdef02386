"""Questions to a real Prometheus."""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx


@dataclass(frozen=True, slots=True)
class Sample:
    labels: dict[str, str]
    value: float


class PrometheusClient:
    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=20, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def ask(self, expr: str) -> list[Sample]:
        """As of now."""
        data = await self._get("query", query=expr)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in data["result"]]

    async def until(self, expr: str, seconds: float = 30) -> list[Sample]:
        """What it gives, once that is something. It tells nobody by itself, so it is asked again."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := await self.ask(expr)):  # noqa: ASYNC110 there is no event
                    await asyncio.sleep(0.2)
                return found
        except TimeoutError:
            raise AssertionError(f"nothing for {expr} in {seconds:g} s") from None

    async def rule_groups(self) -> list[dict[str, Any]]:
        groups = (await self._get("rules"))["groups"]
        assert isinstance(groups, list)
        return groups

    async def _get(self, what: str, **query: str) -> dict[str, Any]:
        answer = (await self._http.get(f"/api/v1/{what}", params=query)).json()
        assert answer["status"] == "success", answer
        data = answer["data"]
        assert isinstance(data, dict)
        return data
