"""The server's word on structured output: --structured-outputs-config."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from baton.core.errors import SettingsError
from baton.core.sampling_params import GrammarBackend
from baton.grammars.compilers import is_installed
from baton.grammars.xgrammar_compiler import MISSING

FLAG = "--structured-outputs-config"
BACKENDS = ("auto", "guidance", "xgrammar")
OTHER_BACKENDS = ("outlines", "lm-format-enforcer")


@dataclass(frozen=True, slots=True)
class StructuredConfig:
    """What holds where a request says nothing. One backend reads all grammars of a server, so
    nothing falls back.
    """

    backend: str = "auto"
    disable_fallback: bool = False
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    enable_in_reasoning: bool = False  # the grammar binds from the first token of the answer

    @property
    def library(self) -> GrammarBackend:
        return GrammarBackend("guidance" if self.backend == "auto" else self.backend)


def read_config(given: Mapping[str, Any] | None) -> StructuredConfig:
    """Raises SettingsError for what is not known."""
    known = {spec.name: spec for spec in fields(StructuredConfig)}
    for name, value in (given or {}).items():
        if name not in known:
            raise SettingsError(f"{FLAG} knows no {name!r}; it knows {', '.join(known)}")
        if name == "backend":
            _check_backend(value)
        elif not isinstance(value, bool):
            raise SettingsError(f"{FLAG}: {name} must be true or false, not {value!r}")
    return StructuredConfig(**(given or {}))


def _check_backend(name: object) -> None:
    if name in OTHER_BACKENDS:
        raise SettingsError(
            f"{FLAG}: the backend {name} is not built in; leave it at auto, which is guidance"
        )
    if name not in BACKENDS:
        raise SettingsError(
            f"{FLAG}: there is no backend {name!r}; there are {', '.join(BACKENDS)}"
        )
    if name == "xgrammar" and not is_installed(GrammarBackend.XGRAMMAR):
        raise SettingsError(f"{FLAG}: {MISSING}")
