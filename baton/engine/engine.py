"""A model with its KV pool, serving works on a thread of its own. Any thread may call it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from baton.core.block_hashes import Hashing
from baton.core.errors import InternalError, SettingsError
from baton.core.kv_events import stride_of
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.blocks.kv_log import KvLog
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.blocks.storage import BlockMemory, BlockSlots, HostStorage, Storage
from baton.engine.config import OFF, ON, EngineConfig
from baton.engine.engine_loop import EngineLoop
from baton.engine.limits import check_work, limits_for, num_blocks_for, num_slots_for
from baton.engine.plan import Runner
from baton.engine.runners.runner_thread import RunnerThread
from baton.engine.scheduling.core import Deliver, EngineCore
from baton.engine.scheduling.flight import AtOnce, Launcher
from baton.engine.scheduling.scheduler import Scheduler
from baton.engine.scheduling.step_meter import StepMeter
from baton.engine.work import EngineLoad, EventSink, GiveAwaySink, Mode, RoomSink, Work
from baton.telemetry.distribution import Distribution

if TYPE_CHECKING:
    from baton.engine.vision.encoder import ImageEncoder


class Engine:
    """`start`, then `submit` and `abort`, at last `stop`; the pool stays readable until `close`."""

    def __init__(
        self,
        runner: Runner,
        config: EngineConfig,
        storage: Storage | None = None,
        images: "ImageEncoder | None" = None,
    ) -> None:
        """`storage` None: this machine's memory; `images` None: prompts are text. Raises
        SettingsError where the sizes do not fit each other, the model or the machine.
        """
        self.images = images
        self._storage: Storage = storage or HostStorage()
        if runner.layout.block_size != config.block_size:
            raise InternalError("the runner was built for another block size")
        num_blocks = num_blocks_for(config, runner.layout)
        num_slots = num_slots_for(config, runner.layout)
        self._limits = limits_for(config, runner, num_blocks)
        self._runner = runner
        self._memory = self._storage.pool(runner.layout, num_blocks)
        self._slots = self._make_slots(num_slots)
        log = KvLog(stride_of(config.block_size) // config.block_size)
        self._blocks = BlockPool(num_blocks, self._slots, log)
        hashing = Hashing(runner.fingerprint.digest(), config.block_size)
        self._hashing = hashing if config.enable_prefix_caching else None
        self._scheduler = Scheduler(self._blocks, self._limits, self._hashing)
        self._meter = StepMeter()
        runner.attach(self._memory)
        self._launcher = _launcher_of(runner, config.async_scheduling)
        self._loop = EngineLoop(self._build_core)
        self._blocks.on_free(self._loop.wake)

    @property
    def memory(self) -> BlockMemory:
        """The pool's bytes, wherever they lie."""
        return self._memory

    @property
    def pool(self) -> KvPool:
        """The same, where they lie in this machine's memory; else InternalError."""
        if not isinstance(self._memory, KvPool):
            raise InternalError("the KV pool lies on a device")
        return self._memory

    @property
    def blocks(self) -> BlockPool:
        return self._blocks

    @property
    def runner(self) -> Runner:
        return self._runner

    @property
    def max_model_len(self) -> int:
        """Prompt + answer, tokens: what the model reads, the settings allow and the pool holds."""
        return self._limits.max_model_len

    @property
    def caches_prefixes(self) -> bool:
        return self._hashing is not None

    @property
    def step_tokens(self) -> Distribution:
        """Tokens computed in a step, of all steps so far. Callable from any thread."""
        return self._meter.step_tokens.reading()

    def prefix_names(self, work: Work) -> tuple[bytes, ...]:
        """Under which the pool finds cached blocks of what `work` knows, from the first one on.

        None of the block with its last known token if something is drawn from that token here.
        Callable from any thread. A work that is submitted with them is not hashed again.
        """
        if self._hashing is None or not work.finds_cache:
            return ()
        draws = work.searches or work.mode is Mode.GENERATE
        num_full = (work.num_known - draws) // self._limits.block_size
        chain = self._hashing.chain(work.cache_salt, work.tenant, work.names, work.images)
        return tuple(chain.names(work.known, num_full))

    @property
    def alive(self) -> bool:
        """The thread runs and no step has failed. Once False after `start`, for ever False."""
        return self._loop.alive

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Waits for the step at hand; works in flight get WorkFailed(UnavailableError)."""
        self._loop.stop()
        self._launcher.close()

    def close(self) -> None:
        """Stops and gives the pool's memory up. Nobody may read or write a block any more."""
        self.stop()
        if self._slots is not None:
            self._slots.close()
        self._memory.close()

    def submit(self, work: Work, sink: EventSink) -> None:
        """Hands `work` over; its events come to `sink` on the engine's thread.

        Raises RequestError for what can never be served, RefusedError for a key in use,
        UnavailableError once stopped or failed; a DECODE's blocks then remain the caller's.
        """
        check_work(work, self._limits)
        self._runner.check(work.params)
        self._loop.submit(work, sink)

    def abort(self, key: str) -> None:
        """Drops the work before another step is begun, without WorkDone; an unknown key is fine.

        The key is free again once the engine's thread has dropped it.
        """
        self._loop.abort(key)

    def give_away(self, key: str, choice: int, sink: GiveAwaySink) -> None:
        """Stops a running choice behind the step at hand and lends what it has computed.

        `sink` gets it, or RefusedError where it cannot go as it is: not begun, preempted, a search.
        It then goes on as if nobody had asked. Raises RefusedError for a work that is not here,
        UnavailableError once stopped or failed.
        """
        self._loop.give_away(key, choice, sink)

    def make_room(
        self, priority: int, count: int, take: Callable[[], bool], sink: RoomSink
    ) -> None:
        """Behind the step at hand, `take` is called until it succeeds, and those that are less urgent
        give their blocks up for it one by one; they compute again once there is room. `count`: blocks
        that it needs. Each gives way once.

        Raises UnavailableError once stopped or failed.
        """
        self._loop.make_room(priority, count, take, sink)

    def on_drop(self, callback: Callable[[], None]) -> None:
        """`callback` runs on the engine's thread whenever an aborted work holds nothing any more.

        It must not block.
        """
        self._loop.on_drop(callback)

    def load(self) -> EngineLoad:
        running = self._scheduler.num_running
        return EngineLoad(
            running=running,
            waiting=max(0, self._loop.num_works - running),
            free_blocks=self._blocks.free,
            reserved_blocks=self._blocks.reserved,
            total_blocks=self._blocks.total,
            lacks=self._scheduler.lacks,
            yielding=self._scheduler.yielding,
            cache_queries=self._scheduler.tables.cache_queries,
            cache_hits=self._scheduler.tables.cache_hits,
            preemptions=self._scheduler.preemptions,
            aborts=self._loop.aborts,
            host=self._blocks.host_counts,
            steps=self._meter.totals,
        )

    def _make_slots(self, num_slots: int) -> BlockSlots | None:
        try:
            return self._storage.slots(self._memory, num_slots) if num_slots else None
        except SettingsError:
            self._memory.close()
            raise

    def _build_core(self, deliver: Deliver) -> EngineCore:
        return EngineCore(self._scheduler, self._launcher, self._memory, deliver, self._meter)


def _launcher_of(runner: Runner, wish: str) -> Launcher:
    """A runner that waits for its results gets a thread only where that is asked for: on a CPU the two
    get in each other's way.
    """
    if wish == OFF:
        return AtOnce(runner)
    if isinstance(runner, Launcher):
        return runner
    return RunnerThread(runner) if wish == ON else AtOnce(runner)
