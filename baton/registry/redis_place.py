"""Where in which Redis a cluster keeps its registry. Knows no Redis client: it is cheap to import."""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, urlsplit

from baton.core.errors import SettingsError

DEFAULT_PREFIX = "baton"
_FORMS = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss://... for TLS, or unix:///PATH[?db=DB]"
_OPTIONS = {  # what a URL may say after its "?"
    "db",
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
}


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """`prefix` begins the name of every key; clusters that share a Redis differ in it."""

    url: str = field(repr=False)  # holds a password
    prefix: str = DEFAULT_PREFIX

    def check(self) -> None:
        """Raises SettingsError, whose sentence never holds the password."""
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:  # whose words may be a piece of the password
            raise SettingsError(f"--redis-url cannot be read; write {_FORMS}") from None
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise SettingsError(f"--redis-url must be one of {_FORMS}")
        if parts.scheme == "unix" and not parts.path:
            raise SettingsError("--redis-url unix:// names no socket; write unix:///PATH")
        if parts.scheme != "unix" and (not parts.hostname or port == 0):
            raise SettingsError(f"--redis-url names no host or no port; write {_FORMS}")
        _check_database(parts)
        if parts.fragment or parse_qs(parts.query, keep_blank_values=True).keys() - _OPTIONS:
            raise SettingsError(
                f"--redis-url may say after a '?' only {', '.join(sorted(_OPTIONS))}; "
                "in a password write %3F for '?', %23 for '#', %2F for '/', %40 for '@'"
            )
        if not self.prefix or not self.prefix.isascii() or not self.prefix.isprintable():
            raise SettingsError("--redis-prefix must be printable ASCII and not empty")

    @property
    def shown(self) -> str:
        """For people: without user and password."""
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return parts.path
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port or 6379}"

    def key(self, name: str) -> str:
        return f"{self.prefix}:{name}"


def _check_database(parts: SplitResult) -> None:
    named = parse_qs(parts.query).get("db", [])
    if parts.scheme != "unix" and parts.path not in ("", "/"):
        named = [*named, parts.path.removeprefix("/")]
    if any(not (name.isascii() and name.isdigit()) for name in named):
        raise SettingsError(f"--redis-url must name its database by a number; write {_FORMS}")
