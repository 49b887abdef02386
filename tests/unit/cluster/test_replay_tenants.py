"""Whose requests a replay sends."""

from collections import Counter

import pytest

from baton.cluster.replay.tenant import Tenant, tenant_of
from baton.cluster.traces import load_trace
from baton.cluster.traces.tenancy import check_names, shared_out
from baton.core.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "tenant"),
    [
        ("a=key", Tenant("a", "key", 1)),
        ("a=key:2.5", Tenant("a", "key", 2.5)),
        ("a=ke:y:2", Tenant("a", "ke:y", 2)),
    ],
)
def test_a_tenant_is_a_name_a_key_and_a_share(text: str, tenant: Tenant) -> None:
    assert tenant_of(text) == tenant


@pytest.mark.parametrize("text", ["a", "a=", "=key", "a=secret:0", "a=secret:x", "a=secret:inf"])
def test_what_is_no_tenant_is_told_without_the_key(text: str) -> None:
    with pytest.raises(SettingsError, match="NAME=KEY") as error:
        tenant_of(text)
    assert "secret" not in str(error.value)


def test_one_name_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="a is there twice"):
        check_names([Tenant("a", "x"), Tenant("a", "y")])


def test_shares_are_kept_and_a_conversation_has_one_tenant() -> None:
    tenants = [Tenant("a", "x", 3), Tenant("b", "y", 1)]
    trace = load_trace("multi-turn:rate=20,turns=2,seconds=50", 1)
    chosen = shared_out(trace.requests, tenants, 1)
    counts = Counter(tenant.name for tenant in chosen)
    assert counts["a"] / counts["b"] == pytest.approx(3, rel=0.15)
    of_sessions = {(one.session, who.name) for one, who in zip(trace.requests, chosen, strict=True)}
    assert len(of_sessions) == len({one.session for one in trace.requests})
