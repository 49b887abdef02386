"""Images by URL, over a real connection: bounded, only from allowed hosts, redirects included."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from baton.images.errors import ImageError
from gateway.images.fetching import REDIRECTS, ImageFetcher
from gateway.images.media_hosts import MediaHosts
from tests.support.file_host import FileHost, file_host
from tests.support.images import image_file

MOST = 1 << 20
FILE = image_file(20, 20)


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with file_host() as host:
        yield host


def fetcher_of(host: FileHost, seconds: float = 20.0) -> ImageFetcher:
    return ImageFetcher(MediaHosts([f"127.0.0.1:{host.port}"]), seconds)


async def test_type_and_file_come(host: FileHost) -> None:
    url = host.serve("/a.png?x=1", FILE, "Content-Type: Image/PNG; charset=binary")

    assert await fetcher_of(host).fetch(url, MOST) == ("image/png", FILE)
    [head] = host.asked
    assert f"Host: 127.0.0.1:{host.port}\r\n" in head
    assert "Accept-Encoding: identity\r\n" in head


async def test_a_redirect_to_an_allowed_place_is_followed(host: FileHost) -> None:
    host.serve("/a.png", FILE, "Content-Type: image/png")
    url = host.serve("/old", b"", "Location: /a.png", status="302 Found")

    assert await fetcher_of(host).fetch(url, MOST) == ("image/png", FILE)


@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:1/", "http://localhost/", "file:///etc/passwd"]
)
async def test_a_redirect_to_anywhere_else_is_not(host: FileHost, place: str) -> None:
    url = host.serve("/old", b"", f"Location: {place}", status="307 Temporary Redirect")

    with pytest.raises(ImageError, match=r"nothing is fetched|must be a data: URL"):
        await fetcher_of(host).fetch(url, MOST)
    assert len(host.asked) == 1


async def test_redirects_end(host: FileHost) -> None:
    url = host.serve("/round", b"", "Location: /round", status="301 Moved Permanently")

    with pytest.raises(ImageError, match="redirects"):
        await fetcher_of(host).fetch(url, MOST)
    assert len(host.asked) == REDIRECTS + 1


async def test_a_name_that_leads_inside_is_not_asked(host: FileHost) -> None:
    fetcher = ImageFetcher(MediaHosts([f"localhost:{host.port}"]), 20.0)

    with pytest.raises(ImageError, match="not public"):
        await fetcher.fetch(f"http://localhost:{host.port}/a.png", MOST)
    assert not host.asked


async def test_no_more_is_read_than_is_allowed(host: FileHost) -> None:
    url = host.serve("/large", bytes(64 << 20), "Content-Type: image/png")

    with pytest.raises(ImageError, match=f"larger than {MOST} bytes"):
        await fetcher_of(host).fetch(url, MOST)
    assert host.sent < 32 << 20  # what the sockets hold, but not the file


async def test_a_compressed_body_is_no_way_around_that(host: FileHost) -> None:
    url = host.serve("/zip", b"\x1f\x8b", "Content-Encoding: gzip")

    with pytest.raises(ImageError, match="compressed"):
        await fetcher_of(host).fetch(url, MOST)


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "206 Partial Content"])
async def test_only_a_whole_answer_is_an_image(host: FileHost, status: str) -> None:
    url = host.serve("/a", FILE, status=status)

    with pytest.raises(ImageError, match=f"answered {status[:3]}"):
        await fetcher_of(host).fetch(url, MOST)


async def test_silence_has_an_end(host: FileHost) -> None:
    host.answers["/silent"] = None

    with pytest.raises(ImageError, match=r"within 0\.2 s"):
        await fetcher_of(host, seconds=0.2).fetch(host.url("/silent"), MOST)


async def test_a_host_that_is_not_there_is_told(host: FileHost) -> None:
    gone = ImageFetcher(MediaHosts(["127.0.0.1:1"]), 20.0)

    with pytest.raises(ImageError, match=r"cannot be fetched from 127\.0\.0\.1"):
        await gone.fetch("http://127.0.0.1:1/", MOST)


async def test_whoever_gives_up_leaves_no_connection(host: FileHost) -> None:
    host.answers["/silent"] = None
    fetching = asyncio.create_task(fetcher_of(host).fetch(host.url("/silent"), MOST))
    async with asyncio.timeout(10):
        await host.was_asked.wait()
    fetching.cancel()

    assert isinstance((await asyncio.gather(fetching, return_exceptions=True))[0], BaseException)
