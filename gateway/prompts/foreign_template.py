"""Chat templates that come with requests: rendered in a process that can be given up."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baton.core.errors import RequestError

CHILD = Path(__file__).with_name("template_child.py")
AT_A_TIME = 2
SECONDS = 20.0  # for a process to start, render and end
LONGEST = 4 << 20  # characters of a prompt

NEVER_ENDS = "it takes too long, or too much memory"


class ForeignTemplates:
    """A template may loop for ever or write without end; each costs a process of its own."""

    def __init__(self) -> None:
        self._gate = asyncio.Semaphore(AT_A_TIME)

    async def render(self, call: Mapping[str, Any]) -> str:
        """`call` as for transformers' render_jinja_template. Raises RequestError."""
        sent = json.dumps({"call": dict(call), "longest": LONGEST}).encode()
        async with self._gate:
            answer = await _answer(sent)
        if "text" not in answer:
            raise _refused(answer["error"])
        try:
            answer["text"].encode()
        except UnicodeEncodeError as error:
            raise _refused("it writes half a surrogate pair") from error
        return answer["text"]


async def _answer(sent: bytes) -> dict[str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(CHILD)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(SECONDS):
            told, _ = await process.communicate(sent)
    except TimeoutError:
        told = b""
    finally:
        await _ended(process)
    if process.returncode != 0 or not told:
        return {"error": NEVER_ENDS}
    answer: dict[str, str] = json.loads(told)
    return answer


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Also when the request was given up meanwhile."""
    if process.returncode is None:
        process.kill()
        await process.wait()


def _refused(reason: str) -> RequestError:
    return RequestError(f"chat_template cannot be rendered: {reason[:500]}", "chat_template")
