"""A sending worker as a process of its own, to be killed: lends half a prompt and waits.

Its argument is the data plane that will be used.
"""

import asyncio
import sys

from baton.engine.blocks.kv_pool import KvPool
from tests.support.kv_pair import LAYOUT, NUM_BLOCKS, sending_side
from tests.support.kv_planes import nixl_only


async def main() -> None:
    with KvPool(LAYOUT, NUM_BLOCKS) as pool:
        async with sending_side(pool, exporters=nixl_only(pool, sys.argv[1])) as side:
            handoff = side.handoff()
            prefill = side.prefill(handoff, 100)
            prefill.lend()
            prefill.compute(50)
            names = [
                handoff.transfer_id,
                handoff.ticket.hex(),
                side.address,
                side.sender.instance_id,
            ]
            sys.stdout.write(" ".join([*names, side.sender.endpoints[0].address]) + "\n")
            sys.stdout.flush()
            await prefill.lease.ended()


if __name__ == "__main__":
    asyncio.run(main())
