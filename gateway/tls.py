"""HTTPS: the flags, and the context made of them with a sentence for each thing that is wrong."""

import ssl
from dataclasses import dataclass, fields

from baton.core.errors import SettingsError
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
        self._load_chain(context)
        if self.ssl_ca_certs:
            _readable(self.ssl_ca_certs, "--ssl-ca-certs")
            try:
                context.load_verify_locations(self.ssl_ca_certs)
            except ssl.SSLError as error:
                raise SettingsError(
                    f"--ssl-ca-certs {self.ssl_ca_certs} holds no certificate in PEM form"
                ) from error
        context.verify_mode = ssl.VerifyMode(self.ssl_cert_reqs)
        return context

    def _load_chain(self, context: ssl.SSLContext) -> None:
        key = self.ssl_keyfile or self.ssl_certfile
        key_flag = "--ssl-keyfile" if self.ssl_keyfile else "--ssl-certfile"
        _readable(self.ssl_certfile, "--ssl-certfile")
        _readable(key, key_flag)
        asked = False

        def password() -> str:  # asked only for an encrypted key; without it OpenSSL would ask
            nonlocal asked  # on the terminal
            asked = True
            return self.ssl_keyfile_password

        try:
            context.load_cert_chain(self.ssl_certfile, key, password)
        except (ssl.SSLError, ValueError) as error:
            if asked and not self.ssl_keyfile_password:
                wrong = f"the key in {key} is encrypted; give --ssl-keyfile-password"
            elif asked:
                wrong = f"--ssl-keyfile-password does not open the key in {key}"
            elif getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
                wrong = f"the key in {key} does not belong to the certificate {self.ssl_certfile}"
            elif not self._holds_certificate():
                wrong = f"--ssl-certfile {self.ssl_certfile} holds no certificate in PEM form"
            else:
                wrong = f"{key_flag} {key} holds no key in PEM form"
            raise SettingsError(wrong) from error

    def _holds_certificate(self) -> bool:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(self.ssl_certfile)
        except ssl.SSLError:
            return False
        return True


def _readable(path: str, flag: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise SettingsError(f"cannot read {flag} {path}: {error.strerror}") from error
