"""HTTPS: the flags, and the context made of them with a sentence for each thing that is wrong."""

import ssl
from dataclasses import dataclass, fields

from baton.core.errors import SettingsError
from baton.rpc.pem import Named, load_authorities, load_chain
from baton.settings import flag_of, setting


@dataclass(frozen=True, slots=True)
class TlsSettings:
    ssl_certfile: str = setting("", "Certificate chain, PEM; with it the server speaks HTTPS.")
    ssl_keyfile: str = setting("", "Its key, PEM (default: it is in --ssl-certfile).")
    ssl_keyfile_password: str = setting("", "Of an encrypted key.", secret=True)
    ssl_ca_certs: str = setting("", "Authorities, PEM, that may have signed clients' certificates.")
    ssl_cert_reqs: int = setting(
        0, "Certificates of clients: 0 are not asked for, 1 are checked if shown, 2 are required."
    )

    @property
    def scheme(self) -> str:
        return "https" if self.ssl_certfile else "http"

    def check(self) -> None:
        """Raises SettingsError."""
        if not self.ssl_certfile:
            for spec in fields(self):
                if getattr(self, spec.name) != spec.default:
                    raise SettingsError(f"{flag_of(spec)} does nothing without --ssl-certfile")
            return
        if self.ssl_cert_reqs not in (0, 1, 2):
            raise SettingsError(f"--ssl-cert-reqs must be 0, 1 or 2, not {self.ssl_cert_reqs}")
        if self.ssl_cert_reqs and not self.ssl_ca_certs:
            raise SettingsError(
                f"--ssl-cert-reqs {self.ssl_cert_reqs} needs --ssl-ca-certs: whose certificates?"
            )
        if self.ssl_ca_certs and not self.ssl_cert_reqs:
            raise SettingsError("--ssl-ca-certs does nothing without --ssl-cert-reqs 1 or 2")
        self.context()

    def context(self) -> ssl.SSLContext | None:
        """None: plain HTTP. Raises SettingsError that names the file at fault."""
        if not self.ssl_certfile:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        cert = Named(self.ssl_certfile, "--ssl-certfile")
        key = Named(self.ssl_keyfile, "--ssl-keyfile") if self.ssl_keyfile else cert
        load_chain(context, cert, key, self.ssl_keyfile_password, "--ssl-keyfile-password")
        if self.ssl_ca_certs:
            load_authorities(context, Named(self.ssl_ca_certs, "--ssl-ca-certs"))
        context.verify_mode = ssl.VerifyMode(self.ssl_cert_reqs)
        return context
