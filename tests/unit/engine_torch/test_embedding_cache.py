"""The cache of encoded images: bounded in bytes, by use, apart for whoever shares no KV."""

from dataclasses import dataclass

from baton.engine.vision.embedding_cache import EmbeddingCache


@dataclass(frozen=True)
class FakeEntry:
    nbytes: int


def key(digest: bytes, tenant: str = "") -> tuple[str, str, bytes]:
    return "", tenant, digest


def test_whoever_was_asked_for_last_stays() -> None:
    cache: EmbeddingCache[FakeEntry] = EmbeddingCache(100)
    for name in (b"a", b"b"):
        cache.put(key(name), FakeEntry(50))
    assert cache.get(key(b"a")) is not None
    cache.put(key(b"c"), FakeEntry(50))

    assert cache.get(key(b"b")) is None
    assert cache.get(key(b"a")) is not None
    assert cache.used == 100


def test_the_same_content_counts_once() -> None:
    cache: EmbeddingCache[FakeEntry] = EmbeddingCache(100)
    for _ in range(5):
        cache.put(key(b"a"), FakeEntry(40))

    assert cache.used == 40


def test_what_is_larger_than_all_of_it_drives_nobody_out() -> None:
    cache: EmbeddingCache[FakeEntry] = EmbeddingCache(100)
    cache.put(key(b"a"), FakeEntry(40))
    cache.put(key(b"b"), FakeEntry(101))

    assert cache.get(key(b"b")) is None
    assert cache.get(key(b"a")) is not None


def test_tenants_do_not_find_each_others_images() -> None:
    cache: EmbeddingCache[FakeEntry] = EmbeddingCache(100)
    cache.put(key(b"a", "one"), FakeEntry(1))

    assert cache.get(key(b"a", "two")) is None
