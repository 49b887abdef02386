"""How much the HTTP server logs: as much as the rest, unless it is told."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import server
from gateway.__main__ import run
from gateway.settings import GatewaySettings


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    before = root.handlers[:], root.level, uvicorn.level
    yield
    root.handlers[:], root.level, uvicorn.level = before
    logging.captureWarnings(False)


@pytest.mark.parametrize(("asked", "level"), [(None, logging.WARNING), ("info", logging.INFO)])
def test_it_follows_the_log_level_unless_it_is_told(
    asked: str | None, level: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    levels = []

    async def fake_serve(settings: GatewaySettings, tracer: None) -> None:
        levels.append(logging.getLogger("uvicorn").getEffectiveLevel())

    monkeypatch.setattr(server, "serve", fake_serve)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    run(GatewaySettings(model=str(tmp_path), log_level="warning", uvicorn_log_level=asked))
    assert levels == [level]
