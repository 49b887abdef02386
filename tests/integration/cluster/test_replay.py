"""A replay over real sockets: against real workers of a hash model, and servers that do as told."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from baton.cluster.api_client import ApiClient
from baton.cluster.outcomes import Fate, Objectives, Outcome, summarise
from baton.cluster.replay.driver import Driver, Planned
from baton.cluster.replay.replay import check_lengths, replay
from baton.cluster.replay.sender import Manners, Sender
from baton.cluster.replay.target import Target, met
from baton.cluster.replay.tenant import Tenant
from baton.cluster.traces import Piece, Trace, TraceRequest
from baton.cluster.traces.content import Content
from baton.core.errors import SettingsError, UnavailableError
from tests.support.baton_command import baton, baton_process
from tests.support.fake_openai import answer, openai_server, plain
from tests.support.gateway_tokenizer import make_tokenizer_folder
from tests.support.served_cluster import served_cluster


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("model"))


PLAIN = Manners(patience=30, retries=0, objectives=Objectives())
ME = [Tenant("me")]


def trace(*pieces: tuple[Piece, ...], output: int = 3) -> Trace:
    return Trace("t", tuple(TraceRequest(at / 100, one, output) for at, one in enumerate(pieces)))


async def test_lengths_are_the_traces_and_what_is_equal_is_cached(model_folder: Path) -> None:
    shared, tenants = Piece(0, 64), [Tenant("a", "key-a"), Tenant("b", "key-b")]
    asked = trace(*((shared, Piece(own, 20)) for own in range(1, 9)))
    asked = Trace(
        "t", tuple(TraceRequest(at / 5, r.pieces, 3) for at, r in enumerate(asked.requests))
    )
    async with served_cluster(model_folder, 1, 1, api_key=("key-a", "key-b")) as cluster:
        cluster.hurry()
        url = str(cluster.gateway.client.base_url)
        target = await met(ApiClient(url, "key-a"), None, None)
        replayed = await asyncio.wait_for(replay(asked, target, tenants, PLAIN, seed=1), 50)
    assert [(one.fate, one.error) for one in replayed.outcomes] == [(Fate.DONE, None)] * 8
    assert {one.output_tokens for one in replayed.outcomes} == {3}
    for name in "ab":  # each reads the shared beginning once
        cached = [one.cached_tokens for one in replayed.outcomes if one.tenant == name]
        assert cached == [0] + [64] * (len(cached) - 1)
    found = summarise(replayed.outcomes, Objectives())
    assert found.input_tokens == 8 * 84
    assert found.itl is not None


async def test_what_is_too_long_for_the_model_is_told_before(model_folder: Path) -> None:
    async with served_cluster(model_folder, 1) as cluster:
        target = await met(ApiClient(str(cluster.gateway.client.base_url)), None, (5, 50))
    assert target.max_model_len is not None
    long = trace((Piece(0, 4),), (Piece(0, target.max_model_len),))
    with pytest.raises(SettingsError, match="1 of 2 requests are longer"):
        check_lengths(long, target)


async def test_who_is_refused_comes_back_when_it_is_told_and_gives_up_when_it_may() -> None:
    async with openai_server([], status=429, retry_after=0) as url:
        target = Target(ApiClient(url), "m", None, range(9))
        manners = Manners(30, 2, Objectives())
        clock = asyncio.get_running_loop().time
        one = Outcome("me", 0, 1)
        sending = Sender(target, Content(range(9), 1), manners, clock).send(b"{}", 3, "", one)
        await asyncio.wait_for(sending, 20)
    assert (one.fate, one.refusals, one.retry_after) == (Fate.REFUSED, 3, 0)
    assert one.error == "429: no room"
    assert one.first is None


async def test_requests_are_sent_whatever_became_of_the_others() -> None:
    """An open loop: nobody answers, and all of them come."""
    async with silent_server() as (url, came):
        target = Target(ApiClient(url), "m", None, range(9))
        clock = asyncio.get_running_loop().time
        begin = clock()
        sender = Sender(target, Content(range(9), 1), PLAIN, lambda: clock() - begin)
        driver = Driver(sender, lambda: clock() - begin)
        asked = trace(*((Piece(own, 3),) for own in range(5)))
        running = asyncio.create_task(driver.run([Planned(one, ME[0]) for one in asked.requests]))
        async with asyncio.timeout(20):
            for _ in range(5):
                await came.acquire()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [one.fate for one in driver.outcomes] == [Fate.CUT] * 5
    assert all(one.late >= 0 for one in driver.outcomes)


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Semaphore]]:
    """Lists a model and answers nothing else; released with every other request that comes."""
    came = asyncio.Semaphore(0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /v1/models"):
            writer.write(plain(200, b'{"data": [{"id": "tiny"}]}'))
        else:
            came.release()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}", came
    finally:
        server.close()


async def test_a_server_that_does_not_tokenise_wants_ids_named() -> None:
    async with openai_server([], status=404) as url:
        with pytest.raises(UnavailableError, match="--token-ids LOW HIGH"):
            await met(ApiClient(url), None, None)
        assert (await met(ApiClient(url), None, (3, 6))).vocabulary == range(3, 6)
        with pytest.raises(UnavailableError, match="there is no model big; served: tiny"):
            await met(ApiClient(url), "big", (3, 6))


async def test_the_command_reports_in_words_json_and_svg(tmp_path: Path) -> None:
    out, svg = tmp_path / "out.json", tmp_path / "out.svg"
    made_up = "poisson:rate=40,in=4,out=3,seconds=0.2"
    async with openai_server(answer(3)) as url:
        ran = await baton_process(
            *("replay", made_up, f"--url={url}", "--token-ids", "3", "9", "--slo-ttft-ms=60000"),
            *(f"--json={out}", f"--plot={svg}"),
        )
    assert ran.exit_code == 0, ran.stderr
    assert "100.0% of all, with TTFT <= 60000 ms" in ran.stdout
    told = json.loads(out.read_text())
    assert told["all"]["done"] == told["all"]["good"] == told["all"]["requests"] > 0
    assert svg.read_text().startswith("<svg")


async def test_ctrl_c_reports_what_was_seen() -> None:
    """The first request comes at once and is never answered; the next hours later."""
    async with silent_server() as (url, came):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "baton.cluster.cli", "replay", "poisson:rate=1,seconds=99999"),
            *(f"--url={url}", "--token-ids", "3", "9", "--rate-scale=100"),
            stdout=subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                await came.acquire()
                process.send_signal(signal.SIGINT)
                told, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 130
    assert b"cut off" in told


def test_a_place_that_cannot_be_written_is_told_before_the_run() -> None:
    ran = baton("replay", "poisson:", "--json=/nowhere/x.json")
    assert ran.exit_code == 78
    assert "cannot write /nowhere/x.json" in ran.output
