"""The event loop of every process that serves: uvloop's, which takes half as long per message."""

import asyncio
from collections.abc import Callable

try:  # not built for every platform
    import uvloop
except ImportError:
    LOOP_FACTORY: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    LOOP_FACTORY = uvloop.new_event_loop
