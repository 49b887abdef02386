"""PEM files that flags name, loaded into a context, with a sentence for each thing that is wrong."""

import ssl
from dataclasses import dataclass

from baton.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Named:
    """A file, and the flag that names it."""

    path: str
    flag: str

    def __str__(self) -> str:
        return f"{self.flag} {self.path}"

    def check_readable(self) -> None:
        """Raises SettingsError."""
        try:
            with open(self.path, "rb"):
                pass
        except OSError as error:
            raise SettingsError(f"cannot read {self}: {error.strerror}") from error


def load_chain(
    context: ssl.SSLContext, cert: Named, key: Named, password: str = "", password_flag: str = ""
) -> None:
    """A certificate chain with its key. Raises SettingsError that names the file at fault.

    Without a `password_flag` an encrypted key is refused.
    """
    cert.check_readable()
    key.check_readable()
    asked = False

    def ask() -> str:  # only for an encrypted key; without it OpenSSL would ask on the terminal
        nonlocal asked
        asked = True
        return password

    try:
        context.load_cert_chain(cert.path, key.path, ask)
    except (ssl.SSLError, ValueError) as error:
        if asked and not password_flag:
            wrong = f"the key in {key.path} is encrypted; {key.flag} takes one without a password"
        elif asked and not password:
            wrong = f"the key in {key.path} is encrypted; give {password_flag}"
        elif asked:
            wrong = f"{password_flag} does not open the key in {key.path}"
        elif getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            wrong = f"the key in {key.path} does not belong to the certificate {cert.path}"
        elif not _holds_certificate(cert):
            wrong = f"{cert} holds no certificate in PEM form"
        else:
            wrong = f"{key} holds no key in PEM form"
        raise SettingsError(wrong) from error


def load_authorities(context: ssl.SSLContext, authorities: Named) -> None:
    """Raises SettingsError."""
    authorities.check_readable()
    try:
        context.load_verify_locations(authorities.path)
    except ssl.SSLError as error:
        raise SettingsError(f"{authorities} holds no certificate in PEM form") from error


def _holds_certificate(cert: Named) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert.path)
    except ssl.SSLError:
        return False
    return True
