"""The flags of mutual TLS inside a cluster."""

from dataclasses import dataclass, fields

from baton.core.errors import SettingsError
from baton.rpc.tls_files import TlsFiles
from baton.rpc.tls_identity import TlsIdentity
from baton.settings import flag_of, setting


@dataclass(frozen=True, slots=True)
class ClusterTls:
    """Between gateways and workers; HTTPS for clients is --ssl-certfile."""

    tls_cert: str = setting(
        "",
        "Certificate chain, PEM, that this process shows to others of the cluster; with --tls-key "
        "and --tls-ca all gRPC is mutual TLS.",
    )
    tls_key: str = setting("", "Its key, PEM, without a password.")
    tls_ca: str = setting("", "Authorities, PEM, that certificates of the cluster are signed by.")

    @property
    def is_on(self) -> bool:
        return bool(self.tls_cert)

    def identity(self) -> TlsIdentity | None:
        """None: gRPC is in the clear. Raises SettingsError."""
        return TlsIdentity(self._files) if self.is_on else None

    def check(self, host: str = "") -> None:
        """`host`: where others call this process, if that is known. Raises SettingsError."""
        given = [flag_of(spec) for spec in fields(self) if getattr(self, spec.name)]
        missing = [flag_of(spec) for spec in fields(self) if not getattr(self, spec.name)]
        if given and missing:
            raise SettingsError(
                f"{' and '.join(given)} without {' and '.join(missing)}: mutual TLS needs all three"
            )
        if self.is_on:
            self._files.read()
            if host:
                self._files.check_host(host)

    @property
    def _files(self) -> TlsFiles:
        return TlsFiles(self.tls_cert, self.tls_key, self.tls_ca)
