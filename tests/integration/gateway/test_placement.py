"""Where real workers' requests go by predicted cost, and what the gateway learns from them."""

from dataclasses import replace

from gateway.placing.claims import Claim
from gateway.placing.link_model import UNKNOWN_LINK
from gateway.placing.speed_model import UNKNOWN
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.hash_cluster import hash_cluster

PARAMS = sampled(40)


def expected(prompt: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(record.token_id for record in hash_answer(HASH_MODEL, prompt, PARAMS)[0])


async def test_an_idle_decode_worker_reads_a_short_prompt_itself_and_a_busy_one_does_not() -> None:
    """What is learned on the way is as it may be; so each first choice is of another cluster."""
    prompt = prompt_of(100)
    async with hash_cluster("p0", "d0", policy="auto") as cluster:
        tokens, reading = await cluster.ask(prompt, PARAMS)
        assert tokens == expected(prompt)
        assert (reading.prefill_worker, reading.decode_worker) == (None, "d0")
    async with hash_cluster("p0", "d0", policy="auto") as cluster:
        [busy] = [w for w in cluster.workers.all() if w.info.worker_id == "d0"]
        busy.take(unread=100_000)
        tokens, reading = await cluster.ask(prompt, PARAMS)
        busy.give_back(unread=100_000)
        assert tokens == expected(prompt)
        assert (reading.prefill_worker, reading.decode_worker) == ("p0", "d0")
        assert reading.transfer is not None


async def test_speed_links_and_lengths_are_learned_from_what_happens() -> None:
    async with hash_cluster("p0", "d0") as cluster:
        learned = cluster.workers.learned
        workers = {w.info.worker_id: w for w in cluster.workers.all()}
        kind, ids = workers["d0"].naming.digest, [w.info.instance_id for w in workers.values()]
        assert all(learned.speed(i, kind) == UNKNOWN for i in ids)
        for salt in range(3):
            await cluster.ask(prompt_of(300, salt), PARAMS)
        await cluster.until(lambda: all(learned.speed(i, kind) != UNKNOWN for i in ids))
        assert learned.relayed.samples == 3
        assert learned.alone.samples == 0
        assert learned.answers.expected(replace(PARAMS, max_tokens=1000, ignore_eos=False)) < 128
        assert learned.links.any != UNKNOWN_LINK


async def test_a_prompt_that_decode_reads_counts_as_its_line_until_its_first_token() -> None:
    async with hash_cluster("d0") as cluster:
        [worker] = cluster.workers.all()
        seen: list[int] = []
        take = worker.take

        def noted(unread: int = 0, claim: Claim | None = None) -> None:
            take(unread, claim)
            seen.append(worker.unread)

        worker.take = noted  # type: ignore[method-assign]
        await cluster.ask(prompt_of(300), PARAMS)
        assert seen == [300]
        assert worker.unread == 0
        assert cluster.served["d0"].worker.backlog.tokens == 0
