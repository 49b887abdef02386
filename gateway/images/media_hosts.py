"""From which hosts images are fetched. Pure: names are looked up elsewhere.

An entry is a host, or host:port; without a port only 80 and 443 are meant. A name may only lead to
public addresses, so that nobody reaches the inside of the cluster by a name of his own; an operator who
wants images from a private address names the address itself.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from baton.images.errors import ImageError

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be asked for."""

    url: str
    scheme: str
    host: str  # without brackets, in lower case
    port: int
    path: str  # with the query

    @property
    def authority(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def at(self, address: str) -> str:
        """The same URL with a looked-up address in place of the name."""
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}{self.path}"


class MediaHosts:
    def __init__(self, entries: Iterable[str]) -> None:
        """Raises ValueError for an entry that is neither host nor host:port."""
        self._entries = {_entry(text) for text in entries}

    def target(self, url: str) -> Target:
        """Raises ImageError for a URL that is not allowed."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            raise ImageError(f"its URL is not valid: {error}") from error
        if parts.scheme not in _PORTS or not host:
            raise ImageError("its URL must be a data: URL, or http(s)://HOST/...")
        if parts.username is not None or parts.password is not None:
            raise ImageError("its URL must not have a user or password")
        port = port or _PORTS[parts.scheme]
        if not self._allows(host, port):
            raise ImageError(
                f"nothing is fetched from {host}:{port}: it is not among --allowed-media-domains; send "
                "the image as a data: URL"
            )
        return Target(url, parts.scheme, host, port, _path(parts))

    def address(self, target: Target, found: Iterable[str]) -> str:
        """Of the addresses that a host has, the one to connect to. Raises ImageError where one of
        them is not public and the host was not named by it.
        """
        addresses = list(found)
        if not addresses:
            raise ImageError(f"its host {target.host} has no address")
        if not _is_address(target.host):
            for address in addresses:
                if not is_public(address):
                    raise ImageError(
                        f"nothing is fetched from {target.host}: its address is not public"
                    )
        return addresses[0]

    def _allows(self, host: str, port: int) -> bool:
        exact = (host, port) in self._entries
        return exact or (port in _PORTS.values() and (host, None) in self._entries)


def is_public(address: str) -> bool:
    """Whether it is reachable for everybody; also of one that is mapped into IPv6."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def _path(parts: SplitResult) -> str:
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.path or '/'}{query}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _entry(text: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path or parts.query or parts.username is not None:
        raise ValueError(f"{text!r} is neither a host nor host:port")
    return parts.hostname.rstrip("."), parts.port
