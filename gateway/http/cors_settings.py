"""Which web pages may call, as flags tell it."""

from dataclasses import dataclass

from baton.settings import setting


@dataclass(frozen=True, slots=True)
class CorsSettings:
    allowed_origins: tuple[str, ...] = setting(("*",), "Origins of web pages that may call.")
    allowed_methods: tuple[str, ...] = setting(("*",), "Methods that they may use.")
    allowed_headers: tuple[str, ...] = setting(("*",), "Headers that they may send.")
    allow_credentials: bool = setting(False, "Whether they may send cookies along.")
