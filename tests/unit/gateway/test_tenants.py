"""Tenants: their file, their keys, and what their clients are told."""

import hashlib
import os
from pathlib import Path

import pytest
import yaml

from baton.core.errors import SettingsError
from baton.registry.quota import UNLIMITED, Bound, Quota, Verdict
from gateway.tenants.rate_headers import duration, rate_headers
from gateway.tenants.roster import LOOK_EVERY, Roster
from gateway.tenants.tenant import Known, Tenant
from gateway.tenants.tenants_file import read_tenants

GOOD: dict[str, list[dict[str, object]]] = {
    "tenants": [
        {
            "name": "search",
            "keys": ["one"],
            "key_sha256": [hashlib.sha256(b"two").hexdigest()],
            "weight": 3,
            "requests_per_minute": 60,
            "tokens_per_minute": 1e5,
            "concurrent_requests": 8,
        },
        {"name": "batch", "keys": ["three"]},
    ]
}


def written(folder: Path, content: object) -> Path:
    path = folder / "tenants.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_every_key_of_a_tenant_has_its_limits_and_the_same_cached_prefixes(tmp_path: Path) -> None:
    roster = Roster(["four"], written(tmp_path, GOOD))
    search = Known(Tenant("search", 3.0, Quota(60, 1e5, 8)), "tenant:search")
    assert roster.find(b"one") == roster.find(b"two") == search
    assert roster.find(b"three") == Known(Tenant("batch"), "tenant:batch")
    four = roster.find(b"four")
    assert four is not None
    assert four.tenant.quota == UNLIMITED
    assert roster.find(b"five") is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"weight": 0}, "tenants[1].weight must be a positive number"),
        ({"weight": True}, "tenants[1].weight must be a positive number"),
        ({"tokens_per_minute": "many"}, "tenants[1].tokens_per_minute must be a positive number"),
        ({"concurrent_requests": 1.5}, "tenants[1].concurrent_requests must be a whole number"),
        ({"limit": 3}, "tenants[1].limit is unknown"),
        ({"name": "search"}, "tenants[1].name 'search' is another tenant's as well"),
        ({"name": "default"}, "tenants[1].name 'default' is for the keys of --api-key"),
        ({"name": "two words"}, "tenants[1].name must be up to 64"),
        ({"keys": ["one"]}, "tenants[1].keys[0] is a key that stands there before"),
        ({"keys": [1]}, "tenants[1].keys[0] must be a text in quotes"),
        ({"keys": "three"}, "tenants[1].keys must be a list"),
        ({"keys": []}, "tenants[1] has no keys"),
        ({"key_sha256": ["abc"]}, "tenants[1].key_sha256[0] must be the SHA-256"),
    ],
)
def test_a_wrong_file_is_one_sentence_with_the_path_to_the_field(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    search, batch = GOOD["tenants"]
    path = written(tmp_path, {"tenants": [search, {**batch, **change}]})
    with pytest.raises(SettingsError) as caught:
        read_tenants(path)
    assert str(caught.value).startswith(f"--tenants-file {path}: {complaint}")
    assert "three" not in str(caught.value)  # a key


@pytest.mark.parametrize("text", ["", "[]", "tenants: {}", "tenants: []", "tenants: [1]", "a: : b"])
def test_what_is_no_list_of_tenants_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tenants.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError):
        Roster([], path)
    with pytest.raises(SettingsError, match="cannot be read"):
        Roster([], tmp_path / "missing.yaml")


def test_a_change_of_the_file_acts_and_a_broken_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    path = written(tmp_path, GOOD)
    roster = Roster([], path, lambda: now[0])
    written(tmp_path, {"tenants": [{"name": "new", "keys": ["six"]}]})
    assert roster.find(b"six") is None
    now[0] += LOOK_EVERY
    assert roster.find(b"six") is not None
    assert roster.find(b"one") is None
    path.write_text("broken")
    for _ in range(3):
        now[0] += LOOK_EVERY
        assert roster.find(b"six") is not None
    os.unlink(path)
    now[0] += LOOK_EVERY
    assert roster.find(b"six") is not None
    assert len([r for r in caplog.records if "going on" in r.message]) == 2


def test_limits_are_told_as_openai_does() -> None:
    verdict = Verdict(Bound.NONE, 0.0, requests_left=30.5, tokens_left=-100.0)
    assert rate_headers(Quota(60, 600, 3), verdict) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "30",
        "x-ratelimit-reset-requests": "29.5s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m10s",
    }
    assert rate_headers(UNLIMITED, verdict) == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0ms"), (0.0171, "18ms"), (1, "1s"), (2.5, "2.5s"), (60, "1m0s"), (90.25, "1m30.25s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
