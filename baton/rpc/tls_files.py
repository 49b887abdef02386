"""The files of mutual TLS inside a cluster, and whether they can work."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from baton.core.errors import SettingsError
from baton.rpc.pem import Named, load_authorities, load_chain

_ENOUGH = 10  # turns of a handshake with oneself; it takes three
_CHECKED_HOST = "which is where its peers call it"


@dataclass(frozen=True, slots=True)
class Pem:
    """What was in the files at one moment."""

    cert: bytes  # chain, the process's own first
    key: bytes
    ca: bytes


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of one process. It shows the certificate as a server and as a client alike."""

    cert: str
    key: str
    ca: str

    def read(self, known: Pem | None = None) -> Pem:
        """Of files that fit together; `known` is known to. Raises SettingsError that names the one
        at fault.
        """
        pem = self._bytes()
        if pem == known:
            return pem
        server = self._context(ssl.PROTOCOL_TLS_SERVER)
        client = self._context(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        self._shake_hands(client, server, None)
        if self._bytes() != pem:
            raise SettingsError(f"the files beside {self._cert} changed while they were read")
        return pem

    def check_host(self, host: str) -> None:
        """`host` is a name or an address. Raises SettingsError where the certificate is not for it."""
        client = self._context(ssl.PROTOCOL_TLS_CLIENT)
        client.hostname_checks_common_name = False  # newer libraries do not look at it
        self._shake_hands(client, self._context(ssl.PROTOCOL_TLS_SERVER), host.strip("[]"))

    @property
    def _cert(self) -> Named:
        return Named(self.cert, "--tls-cert")

    @property
    def _parts(self) -> tuple[Named, Named, Named]:
        return self._cert, Named(self.key, "--tls-key"), Named(self.ca, "--tls-ca")

    def _bytes(self) -> Pem:
        for part in self._parts:
            part.check_readable()
        return Pem(*(Path(part.path).read_bytes() for part in self._parts))

    def _context(self, side: int) -> ssl.SSLContext:
        cert, key, ca = self._parts
        context = ssl.SSLContext(side)
        load_chain(context, cert, key)
        load_authorities(context, ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _shake_hands(
        self, client: ssl.SSLContext, server: ssl.SSLContext, host: str | None
    ) -> None:
        """In memory, with ourselves: a peer of the same cluster would judge as we do."""
        try:
            _shake_hands(client, server, host)
        except ssl.SSLCertVerificationError as error:
            raise SettingsError(
                f"no peer with this --tls-ca would accept {self._cert}: {_reason(error, host)}"
            ) from error
        except ssl.SSLError as error:
            raise SettingsError(f"{self._cert} cannot be used: {error.reason}") from error


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str | None) -> None:
    """Raises ssl.SSLError as soon as one side does not accept the other."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(back, there, server_side=False, server_hostname=host),
        server.wrap_bio(there, back, server_side=True),
    ]
    for _ in range(_ENOUGH):
        waiting = []
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(side)
        if not waiting:
            return
    raise ssl.SSLError(0, "the handshake does not end")


def _reason(error: ssl.SSLCertVerificationError, host: str | None) -> str:
    told = error.verify_message.rstrip(".")
    if host is not None and "mismatch" in told.lower():
        return f"it is not for {host}, {_CHECKED_HOST} (no such subject alternative name)"
    return told
