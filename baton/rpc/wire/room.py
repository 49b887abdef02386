"""The room that a decode worker has."""

from baton.core.room import Room
from baton.v1 import types_pb2


def room_to_pb(room: Room) -> types_pb2.Room:
    return types_pb2.Room(
        number=room.number,
        free_blocks=room.free_blocks,
        lacks=room.lacks,
        seats=room.seats or 0,
        seated=[types_pb2.Seated(priority=p, choices=count) for p, count in room.seated],
        yielding=[types_pb2.Yielding(priority=p, blocks=count) for p, count in room.yielding],
    )


def room_from_pb(message: types_pb2.Room) -> Room:
    return Room(
        number=message.number,
        free_blocks=message.free_blocks,
        lacks=message.lacks if message.HasField("lacks") else None,
        seats=message.seats or None,
        seated=tuple((one.priority, one.choices) for one in message.seated),
        yielding=tuple((one.priority, one.blocks) for one in message.yielding),
    )
