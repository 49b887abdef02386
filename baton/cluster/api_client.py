"""A gateway's HTTP API from the terminal: plain, over TLS or over a Unix socket, never by a proxy."""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from baton.core.errors import SettingsError, UnavailableError

SCHEMES = ("http", "https", "unix")


class ApiError(UnavailableError):
    """The gateway answered with an error; `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class ApiClient:
    """`url` is `http(s)://HOST:PORT`, with a prefix or without, or `unix:PATH`.

    `cacert`, a PEM file, is trusted beside the system's authorities. `timeout`, in seconds, is
    for every single wait. Every call raises UnavailableError with a sentence.
    """

    url: str
    key: str = ""
    cacert: str = ""
    timeout: float = 5.0

    def get(self, path: str) -> Any:
        with self._asked("GET", path, None) as response:
            return self._json(response.read())

    def text(self, path: str) -> str:
        with self._asked("GET", path, None) as response:
            return response.read().decode(errors="replace")

    def events(self, path: str, body: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        """The JSON events of a streamed answer, until its [DONE]."""
        with self._asked("POST", path, json.dumps(body).encode()) as response:
            for line in response:
                if not line.startswith(b"data:"):
                    continue
                data = line.removeprefix(b"data:").strip()
                if data == b"[DONE]":
                    return
                event = self._json(data)
                if "error" in event:
                    raise UnavailableError(f"the answer broke off: {_message_of(event)}")
                yield event
        raise UnavailableError("the answer broke off: the gateway closed the connection")

    @contextmanager
    def _asked(
        self, method: str, path: str, body: bytes | None
    ) -> Iterator[http.client.HTTPResponse]:
        parts = self.parts()
        connection = self._connection(parts)
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        prefix = "" if parts.scheme == "unix" else parts.path.rstrip("/")
        try:
            connection.request(method, prefix + path, body, headers)
            response = connection.getresponse()
            with response:  # which keeps the connection open by itself
                if response.status != 200:
                    raise self._refusal(response, f"{method} {path}")
                yield response
        except ssl.SSLCertVerificationError as error:
            raise UnavailableError(
                f"the certificate of {self.url} is not trusted ({error.verify_message}); name its "
                "authority with --cacert"
            ) from error
        except TimeoutError as error:
            raise UnavailableError(f"{self.url} said nothing for {self.timeout:g} s") from error
        except OSError as error:
            reason = error.strerror or error
            raise UnavailableError(f"no gateway answers at {self.url}: {reason}") from error
        except http.client.HTTPException as error:
            raise self._no_gateway(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def parts(self) -> SplitResult:
        """Of `url`. Raises SettingsError."""
        url = self.url if "://" in self.url or self.url.startswith("unix:") else f"//{self.url}"
        try:
            parts = urlsplit(url, "http")
            _ = parts.port  # raises for what is no number
        except ValueError as error:
            raise SettingsError(f"--url {self.url} is no URL: {error}") from error
        if parts.scheme not in SCHEMES or not (parts.hostname or parts.scheme == "unix"):
            raise SettingsError(f"--url {self.url} must be http://, https:// or unix:PATH")
        return parts

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        if parts.scheme == "unix":
            return UnixConnection(parts.path, timeout=self.timeout)
        host = str(parts.hostname)
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=self.timeout)
        return http.client.HTTPSConnection(
            host, parts.port, timeout=self.timeout, context=self.trust()
        )

    def trust(self) -> ssl.SSLContext:
        """Raises SettingsError when `cacert` cannot be read."""
        context = ssl.create_default_context()
        if self.cacert:
            try:
                context.load_verify_locations(self.cacert)
            except (OSError, ssl.SSLError) as error:
                reason = os.strerror(error.errno) if error.errno else "it holds no certificate"
                raise SettingsError(f"cannot read {self.cacert}: {reason}") from error
        return context

    def _refusal(self, response: http.client.HTTPResponse, asked: str) -> UnavailableError:
        try:
            message = _message_of(json.loads(response.read()))
        except (ValueError, TypeError, KeyError):
            return self._no_gateway(f"it answers {response.status} to {asked}")
        if response.status == 401:
            message += " Give it with --api-key or BATON_API_KEY."
        return ApiError(message, response.status)

    def _json(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise self._no_gateway(str(error)) from error

    def _no_gateway(self, why: str) -> UnavailableError:
        return UnavailableError(f"the server at {self.url} is no baton gateway: {why}")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _message_of(body: Any) -> str:
    """Of an error object. Raises KeyError or TypeError for anything else."""
    return str(body["error"]["message"])
