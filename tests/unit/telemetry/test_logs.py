"""Log lines for people and for machines."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from baton.core.errors import SettingsError
from baton.telemetry.logs import (
    JsonFormatter,
    TextFormatter,
    formatter,
    program_name,
    setup_logging,
)
from baton.telemetry.request_context import RequestContext, about, apart, begin_request


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logging.captureWarnings(False)


def record(message: str, *args: object, exc_info: bool = False) -> logging.LogRecord:
    info = sys.exc_info() if exc_info else None
    return logging.LogRecord("baton.x", logging.WARNING, "x.py", 1, message, args, info)


def test_json_lines_name_the_process_and_the_worker() -> None:
    line = JsonFormatter("prefill_worker", "prefill-0").format(record("block %d is %s", 3, "free"))
    entry = json.loads(line)
    assert entry["process"] == "prefill_worker"
    assert entry["worker_id"] == "prefill-0"
    assert entry["level"] == "warning"
    assert entry["logger"] == "baton.x"
    assert entry["message"] == "block 3 is free"


def test_a_process_that_is_no_worker_has_no_worker_id() -> None:
    assert "worker_id" not in json.loads(JsonFormatter("gateway", "").format(record("up")))


def test_a_json_line_stays_one_line_even_with_a_traceback() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        line = JsonFormatter("gateway", "").format(record("it\nfailed", exc_info=True))
    assert "\n" not in line
    entry = json.loads(line)
    assert entry["message"] == "it\nfailed"
    assert "ValueError: two\nlines" in entry["exception"]


def test_text_lines_say_who_and_what() -> None:
    line = TextFormatter("decode-0").format(record("it is %s", "late"))
    assert line.endswith("warning decode-0 baton.x: it is late")


@pytest.mark.parametrize(
    ("format", "stream", "kind"),
    [
        ("auto", Terminal(), TextFormatter),
        ("auto", io.StringIO(), JsonFormatter),
        ("text", io.StringIO(), TextFormatter),
        ("json", Terminal(), JsonFormatter),
    ],
)
def test_auto_is_text_on_a_terminal_and_json_elsewhere(
    format: str, stream: io.StringIO, kind: type[logging.Formatter]
) -> None:
    assert isinstance(formatter(format, stream, "gateway", ""), kind)


@pytest.mark.parametrize(("level", "format"), [("loud", "text"), ("info", "xml")])
def test_an_unknown_value_stops_the_start(level: str, format: str) -> None:
    with pytest.raises(SettingsError, match=r"must be one of"):
        setup_logging(level, format)


def test_setting_up_twice_does_not_say_things_twice(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_logging("info", "json", process="gateway")
    setup_logging("info", "json", process="gateway")
    logging.getLogger("baton.test").info("once")
    logging.getLogger("baton.test").debug("never")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["once"]


@pytest.mark.parametrize(
    ("argv0", "name"),
    [("/opt/gateway/__main__.py", "gateway"), ("/usr/bin/baton", "baton"), ("serve.py", "serve")],
)
def test_a_program_is_named_as_it_was_started(argv0: str, name: str) -> None:
    assert program_name(argv0) == name


async def test_a_line_is_about_the_request_that_its_task_works_for(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_logging("info", "json", process="gateway")
    logger = logging.getLogger("baton.test")

    async def work(name: str, trace_id: str) -> None:
        begin_request(name, trace_id)
        await asyncio.sleep(0)  # the other one's turn
        logger.info("begun")
        await asyncio.create_task(started())

    async def started() -> None:
        logger.info("started")

    await asyncio.gather(*map(asyncio.create_task, (work("a", "t" * 32), work("b", ""))))
    logger.info("idle")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [(x["message"], x.get("request_id"), x.get("trace_id")) for x in lines]
    assert sorted(told, key=str) == sorted(
        [
            *(("begun", "a", "t" * 32), ("begun", "b", None), ("idle", None, None)),
            *(("started", "a", "t" * 32), ("started", "b", None)),
        ],
        key=str,
    )


def test_who_works_for_nobody_names_the_request_itself() -> None:
    line = record("a lease is over")
    vars(line).update(about(RequestContext("r", "t" * 32)))
    entry = json.loads(JsonFormatter("decode", "decode-0").format(line))
    assert (entry["request_id"], entry["trace_id"]) == ("r", "t" * 32)
    assert " decode-0 [r] baton.x: a lease" in TextFormatter("decode-0").format(line)


async def test_what_outlives_a_request_is_about_none(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_logging("info", "json", process="decode")
    logger = logging.getLogger("baton.test")

    async def link() -> None:
        logger.info("linked")

    begin_request("r")
    await apart(link())
    logger.info("refused", extra=about(None))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line.get("request_id") for line in lines] == [None, None]
