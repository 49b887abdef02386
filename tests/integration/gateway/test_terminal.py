"""`baton chat`, `baton status` and `baton top`, as programs, against a real gateway."""

import asyncio
import os
import pty
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from baton.v1 import decode_pb2
from gateway.http.tls import TlsSettings
from tests.support.certificates import make_certificate
from tests.support.gateway_answer import answering_pair
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import RESERVED, decoded, records
from tests.support.gateway_reading import CHAT, HI
from tests.support.gateway_tokenizer import END_OF_TURN

TOKENS = [40, 41, 42, END_OF_TURN]


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(model_folder, api_key=("one",)) as gateway:
        await answering_pair(gateway, TOKENS)
        yield gateway


def environment(url: object, key: str = "one") -> dict[str, str]:
    return {**os.environ, "BATON_URL": str(url), "BATON_API_KEY": key}


async def baton(
    *words: str, env: dict[str, str], sent: str | None = None
) -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "baton.cluster.cli", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate((sent or "").encode())
    return process.returncode, out.decode(), err.decode()


async def test_a_pipe_is_one_message_and_only_the_answer_comes_out(
    served: GatewayUnderTest,
) -> None:
    answer = await answer_of(served)
    env = environment(served.client.base_url, "one,two")
    assert await baton("chat", env=env, sent="hi\n") == (0, answer + "\n", "")


async def test_what_is_wrong_is_one_sentence(served: GatewayUnderTest) -> None:
    url = served.client.base_url
    for env, words, sentence in (
        (environment(url, "three"), ("chat",), "API key is not known"),
        (environment(url, ""), ("status",), "BATON_API_KEY"),
        (environment(url), ("chat", "--model", "nope"), "The model `nope` does not exist"),
        (environment("http://127.0.0.1:1"), ("chat",), "no gateway answers at http://127.0.0.1:1"),
        (environment("unix:/no/such.sock"), ("chat",), "No such file"),
        (environment("ftp://x"), ("chat",), "must be http://, https:// or unix:PATH"),
        (environment(f"{url}/no"), ("status",), "Not Found"),
    ):
        code, out, err = await baton(*words, env=env, sent="hi")
        assert (code, out) in ((1, ""), (78, ""))
        assert err.startswith("Error: ")
        assert sentence in err
        assert err.count("\n") == 1
    code, _, err = await baton("chat", env=environment(url), sent=" \n")
    assert code == 2
    assert "nothing came through the pipe" in err


async def test_an_answer_that_breaks_off_ends_with_an_error(served: GatewayUnderTest) -> None:
    async def breaks(
        request: decode_pb2.GenerateRequest,
    ) -> AsyncIterator[decode_pb2.GenerateResponse]:
        yield RESERVED
        yield decoded(records(len(request.prompt_token_ids), [7], finish=None))  # not prefill's

    served.workers[1].decode_script = breaks
    code, _, err = await baton("chat", env=environment(served.client.base_url), sent="hi")
    assert code == 1
    assert err.startswith("Error: the answer broke off: ")


async def test_https_with_a_certificate_of_ones_own(model_folder: Path, tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    tls = TlsSettings(str(made.cert), str(made.key))
    async with running_gateway(model_folder, tls=tls) as gateway:
        await answering_pair(gateway, TOKENS)
        env = environment(gateway.client.base_url)
        code, _, err = await baton("status", env=env)
        assert code == 1
        assert "name its authority with --cacert" in err
        trusting = {**env, "BATON_CACERT": str(made.cert)}
        code, out, _ = await baton("status", env=trusting)
        assert code == 0
        assert "d0" in out
        code, out, _ = await baton("chat", env=trusting, sent="hi")
        assert code == 0
        assert out.strip()


async def answer_of(gateway: GatewayUnderTest) -> str:
    headers = {"Authorization": "Bearer one"}
    whole = await gateway.client.post(CHAT, json={"messages": HI}, headers=headers)
    answer = whole.json()["choices"][0]["message"]["content"]
    assert isinstance(answer, str)
    assert answer.strip()
    return answer


class Screen:
    """A command of `baton` on a terminal of its own."""

    def __init__(self, env: dict[str, str], *words: str, terminal: str = "dumb") -> None:
        self._env = {**env, "TERM": terminal}
        self._words = words
        self.shown = ""

    async def __aenter__(self) -> "Screen":
        self._ours, theirs = pty.openpty()
        attributes = termios.tcgetattr(theirs)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "baton.cluster.cli", *self._words),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self._env,
            start_new_session=True,
        )
        os.close(theirs)
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    def _read(self) -> None:
        try:
            self.shown += os.read(self._ours, 1 << 16).decode(errors="replace")
        except OSError:  # the other side has ended
            asyncio.get_running_loop().remove_reader(self._ours)
        self._more.set()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    async def until(self, *texts: str) -> None:
        """Until they were shown, one after the other; a prompt may be drawn more than once."""
        async with asyncio.timeout(30):
            while not re.search(".*".join(map(re.escape, texts)), self.shown, re.DOTALL):
                self._more.clear()
                await self._more.wait()


async def test_a_talk_at_a_terminal(served: GatewayUnderTest) -> None:
    async def endless(
        request: decode_pb2.GenerateRequest,
    ) -> AsyncIterator[decode_pb2.GenerateResponse]:
        yield RESERVED
        yield decoded(records(len(request.prompt_token_ids), TOKENS[:1], finish=None))
        await asyncio.Event().wait()

    answer = await answer_of(served)
    decode = served.workers[1]
    async with Screen(environment(served.client.base_url), "chat") as screen:
        await screen.until("tiny; /help lists commands", "> ")
        screen.type("hi\n")
        await screen.until("lists commands", "> ", answer, "> ")
        decode.decode_script = endless
        screen.type("more\n")
        call, before = await decode.calls.number(2), await decode.calls.number(1)
        assert len(call.request.prompt_token_ids) > len(before.request.prompt_token_ids)
        screen.process.send_signal(signal.SIGINT)
        await screen.until("(stopped)", "> ")
        async with asyncio.timeout(10):
            await call.ended.wait()  # its script does not end by itself
        screen.type("\x04")
        async with asyncio.timeout(10):
            assert await screen.process.wait() == 0
    assert "Traceback" not in screen.shown


async def test_top_prints_once_where_no_terminal_is(served: GatewayUnderTest) -> None:
    headers = {"Authorization": "Bearer one", "X-Request-Id": "mine"}
    await served.client.post(CHAT, json={"messages": HI}, headers=headers)
    env = environment(served.client.base_url)
    code, out, err = await baton("top", "--once", env=env)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert out.startswith("tiny  2 of 2 workers ready, 0 running, 0 queued\n")
    [row] = [line for line in out.splitlines() if line.startswith("mine ")]
    assert row.split()[1:5] == ["done", "p0", "→", "d0"]
    code, out, err = await baton("top", env=env)
    assert (code, out) == (2, "")
    assert "--once" in err


async def test_top_of_a_gateway_without_the_page_has_no_requests(model_folder: Path) -> None:
    async with running_gateway(model_folder, disable_status_page=True) as gateway:
        await answering_pair(gateway)
        code, out, _ = await baton("top", "--once", env=environment(gateway.client.base_url))
    assert code == 0
    assert "2 of 2 workers ready" in out
    assert "--disable-status-page" in out


async def test_top_redraws_what_changes_and_leaves_the_terminal_as_it_was(
    served: GatewayUnderTest,
) -> None:
    env = {**environment(served.client.base_url), "COLUMNS": "160", "LINES": "40"}
    async with Screen(env, "top", "--interval=0.2", terminal="xterm") as screen:
        await screen.until("2 of 2 workers ready", "no request yet")
        headers = {"Authorization": "Bearer one", "X-Request-Id": "mine"}
        await served.client.post(CHAT, json={"messages": HI}, headers=headers)
        await screen.until("no request yet", "mine", "done")
        screen.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            assert await screen.process.wait() == 0
        await screen.until("\x1b[?1049h", "\x1b[?1049l")  # a screen of its own, and back
    assert "Traceback" not in screen.shown
