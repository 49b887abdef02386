"""Fetches images over HTTP(S): only from allowed hosts, only so many bytes, only for so long."""

import asyncio
import socket
import ssl
from functools import cached_property
from urllib.parse import urljoin

import httpx

from baton.images.errors import ImageError
from gateway.images.media_hosts import MediaHosts, Target

REDIRECTS = 3
_PLAIN = ("", "identity")  # encodings of a body; another one could be a bomb


class ImageFetcher:
    def __init__(self, hosts: MediaHosts, seconds: float) -> None:
        """`seconds` for all of one call, redirects among them."""
        self._hosts = hosts
        self._seconds = seconds

    async def fetch(self, url: str, most_bytes: int) -> tuple[str, bytes]:
        """The declared MIME type, in lower case, empty if there is none, and the file.

        Raises ImageError; then nothing was read that is not allowed.
        """
        target = self._hosts.target(url)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._followed(target, most_bytes)
        except TimeoutError as error:
            raise ImageError(f"it did not come within {self._seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise ImageError(f"it cannot be fetched from {target.host}") from error

    async def _followed(self, target: Target, most_bytes: int) -> tuple[str, bytes]:
        """Each redirect is checked as the first URL was."""
        async with httpx.AsyncClient(
            verify=self._certificates, trust_env=False, timeout=self._seconds
        ) as client:
            for _ in range(REDIRECTS + 1):
                request = await self._request(client, target)
                answer = await client.send(request, stream=True)
                try:
                    if not answer.has_redirect_location:
                        return await _read(answer, most_bytes)
                    target = self._hosts.target(urljoin(target.url, answer.headers["location"]))
                finally:
                    await answer.aclose()
        raise ImageError(f"it is behind more than {REDIRECTS} redirects")

    async def _request(self, client: httpx.AsyncClient, target: Target) -> httpx.Request:
        """To the address that was checked: a name that is looked up twice may mean two places."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        address = self._hosts.address(target, [str(entry[4][0]) for entry in found])
        return client.build_request(
            "GET",
            target.at(address),
            headers={"Host": target.authority, "Accept": "image/*", "Accept-Encoding": "identity"},
            extensions={"sni_hostname": target.host},
        )

    @cached_property
    def _certificates(self) -> ssl.SSLContext:
        return ssl.create_default_context()


async def _read(answer: httpx.Response, most_bytes: int) -> tuple[str, bytes]:
    if answer.status_code != httpx.codes.OK:
        raise ImageError(f"its server answered {answer.status_code}")
    if answer.headers.get("content-encoding", "").lower() not in _PLAIN:
        raise ImageError("its server compressed it, although it was asked not to")
    data = bytearray()
    async for chunk in answer.aiter_raw():
        data += chunk
        if len(data) > most_bytes:
            raise ImageError(f"it is larger than {most_bytes} bytes")
    mime = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return mime, bytes(data)
