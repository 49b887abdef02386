"""What is written in one turn of the loop goes out in one piece, in order, and nothing of it is lost."""

import asyncio

from gateway.http.corked import Corked


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 100

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


async def test_a_turn_is_one_piece() -> None:
    transport = FakeTransport()
    corked = Corked(transport, asyncio.get_running_loop())
    corked.write(b"head ")
    piece = bytearray(b"body")
    corked.write(piece)
    piece[:] = b"none"  # what was written is as it was
    assert not transport.written
    assert corked.get_write_buffer_size() == 109
    await asyncio.sleep(0)
    assert transport.written == [b"head body"]
    assert corked.get_write_buffer_size() == 100
    corked.write(b"end")
    await asyncio.sleep(0)
    assert transport.written == [b"head body", b"end"]


async def test_what_is_held_goes_out_before_it_is_closed() -> None:
    transport = FakeTransport()
    corked = Corked(transport, asyncio.get_running_loop())
    corked.write(b"last")
    corked.close()
    assert (transport.written, corked.is_closing()) == ([b"last"], True)
    await asyncio.sleep(0)
    assert transport.written == [b"last"]


async def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    for end in (FakeTransport.close, FakeTransport.abort):
        transport = FakeTransport()
        corked = Corked(transport, asyncio.get_running_loop())
        corked.write(b"lost")
        end(transport)
        await asyncio.sleep(0)
        assert not transport.written


async def test_what_is_held_is_dropped_with_an_abort() -> None:
    transport = FakeTransport()
    corked = Corked(transport, asyncio.get_running_loop())
    corked.write(b"lost")
    corked.abort()
    await asyncio.sleep(0)
    assert (transport.written, transport.closed) == ([], True)
