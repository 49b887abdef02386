"""The C++ kernels of linear layers, norms and decoder layers, as ctypes has them."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from baton.engine.attention.cpu_kernel import KernelLayer, KernelStep
from baton.engine.modules.weight_memory import WeightMemory

DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
VECTOR = 16  # floats; weights of norms are padded to whole ones


def _fields(kind: type, names: str) -> list[tuple[str, type]]:
    return [(name, kind) for name in names.split()]


class Matrix(ctypes.Structure):
    """`weight` is packed, see `packed_weight`; `bias` is float32 in whole panels, or null, and so are
    the `scales` of a weight in int8.
    """

    _fields_ = (
        *_fields(ctypes.c_void_p, "weight bias scales"),
        *_fields(ctypes.c_int32, "inputs outputs"),
    )


class Norm(ctypes.Structure):
    """`weight` is float32, padded to whole vectors; null where there is no such norm."""

    _fields_ = (
        ("weight", ctypes.c_void_p),
        ("epsilon", ctypes.c_float),
        *_fields(ctypes.c_int32, "size rounds"),
    )


NO_NORM = Norm(None, 0.0, 0, 0)


class DecoderLayer(ctypes.Structure):
    _fields_ = (
        *_fields(Matrix, "qkv out gate_up down"),
        *_fields(Norm, "input query key attended mlp added"),
        *_fields(ctypes.c_int32, "heads kv_heads head_dim rotary hidden inner activation dtype"),
        ("residual", ctypes.c_float),
    )


class DecoderBatch(ctypes.Structure):
    _fields_ = (
        *_fields(ctypes.c_void_p, "states cos sin normed qkv attended projected gate_up gated"),
        ("output", ctypes.c_void_p),
        *_fields(ctypes.c_int32, "rows threads"),
    )


class Ending(ctypes.Structure):
    """What comes behind layers, of `count` rows that are read: a last layer in two parts, the model's norm
    and its output layer. Null pointers for what does not; `step` is never null.
    """

    _fields_ = (
        *_fields(ctypes.POINTER(DecoderLayer), "keys rest"),
        *_fields(ctypes.POINTER(KernelLayer), "written attention"),
        ("step", ctypes.POINTER(KernelStep)),
        ("batch", ctypes.POINTER(DecoderBatch)),
        ("rows", ctypes.c_void_p),
        ("count", ctypes.c_int32),
        ("norm", ctypes.POINTER(Norm)),
        ("head", ctypes.POINTER(Matrix)),
        *_fields(ctypes.c_void_p, "normed logits"),
    )


# Parts of a decoder layer, in their order; attention stands between ROTARY and OUT.
NORM, QKV, ROTARY, OUT, ADD_AND_NORM, GATE_UP, GATE, DOWN, ADD = range(9)
ATTENTION, END = OUT, ADD + 1


def addresses_of(layers: Sequence[DecoderLayer]) -> "ctypes.Array[Any]":
    """As `Kernels.layers` takes them."""
    return (ctypes.POINTER(DecoderLayer) * len(layers))(*map(ctypes.pointer, layers))


class Kernels:
    """What `kernel_build` loads, with types.

    Without `matrix_units` no product goes to oneDNN, whose sums hang on how many rows there are. With
    `int8` weights are packed as whole numbers of one byte.
    """

    def __init__(
        self, library: ctypes.CDLL, matrix_units: bool = True, *, int8: bool = False
    ) -> None:
        self.matrix_units, self.int8 = matrix_units, int8
        self.memory = WeightMemory()  # of what they read
        self.decoder_layer = library.baton_decoder_layer
        structures = (ctypes.POINTER(DecoderLayer), ctypes.POINTER(DecoderBatch))
        self.decoder_layer.argtypes = (*structures, ctypes.c_int, ctypes.c_int)
        self.decoder_layer.restype = None
        self.layers = library.baton_layers
        layers = ctypes.POINTER(structures[0])
        self.layers.argtypes = (
            *(layers, ctypes.POINTER(KernelLayer), ctypes.c_int),
            *(structures[1], ctypes.POINTER(KernelStep), ctypes.POINTER(Ending), ctypes.c_int),
        )
        self.layers.restype = None
        self.screens = Screens(library)
        self._linear = library.baton_linear
        self._norm = library.baton_norm
        number, address = ctypes.c_int, ctypes.c_void_p
        for function, kind in ((self._linear, Matrix), (self._norm, Norm)):
            function.argtypes = [ctypes.POINTER(kind), address, address, number, number, number]
            function.restype = None

    def linear(self, matrix: Matrix, states: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        output = states.new_empty((*states.shape[:-1], matrix.outputs))
        self._on_rows(self._linear, matrix, states, output, matrix.inputs)
        return output

    def norm(self, norm: Norm, states: Tensor) -> Tensor:
        """[..., size], as is the result."""
        output = torch.empty_like(states, memory_format=torch.contiguous_format)
        self._on_rows(self._norm, norm, states, output, norm.size)
        return output

    def _on_rows(
        self,
        function: "ctypes._FuncPointer",
        what: ctypes.Structure,
        states: Tensor,
        output: Tensor,
        size: int,
    ) -> None:
        states = states.contiguous()
        count, threads = states.numel() // size, torch.get_num_threads()
        kind = DTYPES[states.dtype]
        function(what, states.data_ptr(), output.data_ptr(), count, kind, threads)


class Screens:
    """Of an output layer; `modules.screened_head` knows the structure. Numbers are the dtype's kind and
    threads.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        number, address = ctypes.c_int, ctypes.c_void_p
        self.pays = bool(library.baton_screen_pays())
        self.fill = library.baton_fill_screen
        self.fill.argtypes = (address, number, number)
        self.best = library.baton_screened
        self.best.argtypes = (*[address] * 4, number, number, number)


def floats_of(values: Tensor, whole: int) -> Tensor:
    """float32, padded with zeros to a multiple of `whole`."""
    padded = torch.zeros(-(-values.numel() // whole) * whole)
    padded[: values.numel()] = values.detach().float()
    return padded


def joined(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """One after the other along the first dimension; None where all are None."""
    found = [tensor.detach() for tensor in tensors if tensor is not None]
    if not found:
        return None
    assert len(found) == len(tensors), "some projections have a bias and some have none"
    return torch.cat(found)
