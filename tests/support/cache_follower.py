"""A worker's real block pool, read and overfilled at random, and a lossy stream of what it tells."""

from collections.abc import Sequence

from baton.core.block_hashes import next_hash, stride_keys
from baton.core.kv_events import KvChange, key_of
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.blocks.kv_log import KvLog
from gateway.prefixes.prefix_index import PrefixIndex
from tests.support.fake_slots import FakeSlots

BLOCK = 16  # tokens, all of them the same number
EVERY = 2  # blocks of a stride
ROOT = b"root"

Prompt = Sequence[int]  # one number per block


def tokens_of(prompt: Prompt) -> list[int]:
    return [token for token in prompt for _ in range(BLOCK)]


def names_of(prompt: Prompt) -> list[bytes]:
    names, name = [], ROOT
    for token in prompt:
        name = next_hash(name, [token] * BLOCK)
        names.append(name)
    return names


def keys_of(prompt: Prompt) -> list[int]:
    """As a gateway computes them."""
    return stride_keys(ROOT, tokens_of(prompt), BLOCK * EVERY)


class CachingWorker:
    """`instance_id` is new after each restart."""

    def __init__(self, name: str, num_blocks: int = 12, num_slots: int = 6) -> None:
        self._name = name
        self._size = num_blocks, num_slots
        self._lives = 0
        self.restart()

    def restart(self) -> None:
        self._lives += 1
        self.instance_id = f"{self._name}-{self._lives}"
        num_blocks, num_slots = self._size
        log = KvLog(EVERY, remembered=40)
        self.pool = BlockPool(num_blocks, FakeSlots(num_slots), log)
        self.told: int | None = None  # number of the last event that was sent on the open stream

    def read(self, prompt: Prompt, unsound: bool = False) -> None:
        """Finds, computes, publishes and gives back. `unsound`: what it read or wrote is withdrawn."""
        names = names_of(prompt)
        run = self.pool.take_cached(names, len(names))
        assert run is not None
        blocks = [*run, *(self.pool.allocate(len(names) - len(run)) or ())]
        blocks = self.pool.publish(blocks, names, parent=None)
        assert len(blocks) == len(names)
        if unsound:
            self.pool.withdraw(blocks[len(blocks) // 2 :])
        self.pool.release(blocks)

    def says(self) -> list[KvChange]:
        """What is new on the open stream, which begins with a snapshot."""
        change = self.pool.kv_change(self.told)
        if change.upto == self.told:
            return []
        self.told = change.upto
        return list(change.parts(3))

    def strides_held(self, prompt: Prompt) -> int:
        """Of the prompt's first, as the pool and its host tier have them."""
        found = [
            self.pool._books.cache.get(name) is not None or name in self.pool._host.tier._by_name
            for name in names_of(prompt)
        ]
        blocks = found.index(False) if False in found else len(found)
        return blocks // EVERY

    def keys_held(self) -> tuple[set[int], set[int]]:
        """At strides, in the pool and in host memory; told from the books of both."""
        pool = {
            key_of(e.name) for e in self.pool._books.cache._by_name.values() if e.depth % EVERY == 0
        }
        kept = self.pool._host.tier._by_name.values()
        return pool, {key_of(one.name) for one in kept if one.depth % EVERY == 0}


def settle(index: PrefixIndex, worker: CachingWorker) -> None:
    """What the gateway does until it knows everything: it opens the stream anew after a gap."""
    for _ in range(3):
        for change in worker.says():
            if not index.hear(worker.instance_id, change):
                break
        if index.number(worker.instance_id) == worker.pool.kv_number:
            return
        worker.told = None
    raise AssertionError("the index does not come to rest")
