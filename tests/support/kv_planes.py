"""Which data planes this machine can test."""

import pytest

from kv_transfer.memory import Memory
from kv_transfer.transports.base import Exporter
from kv_transfer.transports.nixl_agent import importable
from kv_transfer.transports.nixl_export import NixlExporter


def usable(plane: str) -> str:
    """`plane`; skips the test where it is NIXL, an optional extra, and is not installed."""
    if plane == "nixl" and not importable():
        pytest.skip("NIXL is an optional extra: pip install --no-deps nixl==1.5.1 nixl-cu13==1.5.1")
    return plane


def nixl_only(memory: Memory, plane: str) -> list[Exporter] | None:
    """Exporters for a sending side: None, its own, but where the plane is NIXL."""
    return [NixlExporter(memory)] if plane == "nixl" else None
