"""Messages of another version of the protos, to speak with servers of this one."""

from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

RELEASED = Path(__file__).parents[2] / "proto/released.binpb"
ADDED = "added_later"
ADDED_NUMBER = 15_000


def released_files() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(RELEASED.read_bytes())


def later_files() -> FileDescriptorSet:
    """The released ones, and in every message one field that this version does not know."""
    files = released_files()
    for file in files.file:
        if file.package == "baton.v1":
            for message in file.message_type:
                _add(message)
    return files


def _add(message: DescriptorProto) -> None:
    if not message.options.map_entry:
        field = message.field.add(name=ADDED, number=ADDED_NUMBER, json_name="addedLater")
        field.type, field.label = (
            FieldDescriptorProto.TYPE_STRING,
            FieldDescriptorProto.LABEL_OPTIONAL,
        )
    for nested in message.nested_type:
        _add(nested)


class OtherProtos:
    """What a process knows whose stubs were made from `files`."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self._pool = DescriptorPool()
        for file in files.file:
            self._pool.Add(file)

    def stream(self, channel: grpc.aio.Channel, rpc: str, request: Message) -> Any:
        """The call of `Service/Rpc`, with this version's own words.

        Args:
            request: of this checkout's version; what the other one does not know of it is left out.
        """
        service, name = rpc.split("/")
        method = self._pool.FindServiceByName(f"baton.v1.{service}").FindMethodByName(name)
        call: Any = channel.unary_stream(
            f"/baton.v1.{rpc}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        asked = GetMessageClass(method.input_type).FromString(request.SerializeToString())
        asked.DiscardUnknownFields()
        _fill(asked)
        return call(asked)


def _fill(message: Message) -> None:
    """Says something in the added field, where there is one, of this and of all inner messages."""
    if ADDED in message.DESCRIPTOR.fields_by_name:
        setattr(message, ADDED, "from a later version")
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for inner in value if field.is_repeated else [value]:
            _fill(inner)
