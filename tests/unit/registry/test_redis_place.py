"""What may be said with --redis-url and --redis-prefix."""

import pytest

from baton.core.errors import SettingsError
from baton.registry.redis_place import RedisPlace


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://there", "there:6379"),
        ("redis://there:7000/3", "there:7000"),
        ("redis://:pa%23ss@there:7000", "there:7000"),
        ("rediss://user:pass@there?ssl_ca_certs=/ca.pem", "there:6379"),
        ("redis://[::1]:7000/", "[::1]:7000"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
        ("unix://user:pass@/run/redis.sock?db=2", "/run/redis.sock"),
    ],
)
def test_a_good_url_is_taken_and_shown_without_its_password(url: str, shown: str) -> None:
    place = RedisPlace(url)
    place.check()
    assert place.shown == shown
    assert "pass" not in repr(place)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("there:6379", "must be one of redis://"),
        ("http://there", "must be one of redis://"),
        ("redis://", "no host"),
        ("redis://there:0", "no port"),
        ("redis://there:70000", "cannot be read"),
        ("redis://there/main", "by a number"),
        ("redis://there?db=main", "by a number"),
        ("unix://", "names no socket"),
        ("redis://there?retry=3", "after a '?' only db, ssl_ca_certs"),
        ("redis://:se#cret@there", "cannot be read"),
        ("redis://:secret@there#2", "%23"),
        ("redis://:1/secret@there", "no host"),
        ("redis://:1?secret@there", "no host"),
    ],
)
def test_a_wrong_url_is_refused_with_a_sentence_that_keeps_the_password(
    url: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=r"--redis-url") as refused:
        RedisPlace(url).check()
    assert said in str(refused.value)
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("prefix", ["", "a\nb", "b\u00e4ton"])
def test_a_prefix_must_be_printable(prefix: str) -> None:
    with pytest.raises(SettingsError, match="--redis-prefix"):
        RedisPlace("redis://there", prefix).check()


def test_every_key_begins_with_the_prefix() -> None:
    assert RedisPlace("redis://there", "blue").key("workers") == "blue:workers"
