"""An output layer that says only the best of its logits where no more are wanted, and reads half for it.

A copy of its weight in int8 bounds every logit; those that may be among the best are computed by the
layer's own sums, bit for bit, and the others are -inf.
"""

import ctypes
import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from baton.engine.kv_shape import call_model
from baton.engine.modules.kernels import DTYPES, Kernels, Matrix
from baton.engine.modules.layer_check import ProbeStep
from baton.engine.modules.linear import KernelLinear
from baton.engine.modules.packed_weight import PANEL, PackedWeight
from baton.engine.packing import SCREENED_FROM

logger = logging.getLogger(__name__)

MOST_ROWS = 4  # beyond them the products of bytes take longer than reading
MOST_INPUTS = 1 << 16  # of which sums stay within 32 bits
LONGEST_REST = 64  # steps


class _Screen(ctypes.Structure):
    _fields_ = (
        *((name, Matrix) for name in ("exact", "rough")),
        *((name, ctypes.c_void_p) for name in ("scales", "norms", "slopes")),
    )


class ScreenError(Exception):
    """There is no screen; says why."""


class Screen:
    """Bounds of what the rows of `packed`, [outputs, inputs], say of a state."""

    def __init__(self, kernels: Kernels, packed: PackedWeight) -> None:
        """Raises ScreenError where no bounds can be had."""
        if packed.inputs > MOST_INPUTS or packed.matrix.bias or packed.matrix.scales:
            raise ScreenError("it has a bias, weights in int8 or too many inputs")
        self._library, self._kind = kernels.screens, DTYPES[packed.dtype]
        self._packed = packed
        panels = -(-packed.outputs // PANEL)
        take = kernels.memory.take
        self._numbers = take((panels, -(-packed.inputs // 4), PANEL, 4), torch.uint8)
        self._floats = take((3, panels * PANEL), torch.float32)  # scales, norms, slopes
        rough = Matrix(self._numbers.data_ptr(), None, None, packed.inputs, packed.outputs)
        self._screen = _Screen(packed.matrix, rough, *(one.data_ptr() for one in self._floats))
        if not self._library.fill(ctypes.byref(self._screen), self._kind, torch.get_num_threads()):
            raise ScreenError("a weight is too large, or no number")

    @property
    def nbytes(self) -> int:
        return self._numbers.nbytes + self._floats.nbytes

    def best(self, states: Tensor, ranks: Sequence[int]) -> Tensor | None:
        """[rows, inputs] -> [rows, outputs]: of each row its `rank` best logits and all that equal the
        last of them, some more, and -inf. None where the layer itself has to say it.
        """
        states = states.contiguous()
        logits = states.new_empty((len(states), self._packed.outputs))
        wanted = (ctypes.c_int32 * len(states))(*ranks)
        where = (states.data_ptr(), logits.data_ptr(), wanted, len(states))
        threads = torch.get_num_threads()
        computed = self._library.best(ctypes.byref(self._screen), *where, self._kind, threads)
        return None if computed < 0 else logits


class ScreenedHead(nn.Module):
    """Stands where the output layer stood. `ranks` is of its next call alone: of each row how many of
    its best logits will be looked at; empty: all.
    """

    def __init__(self, linear: KernelLinear, screen: Screen) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.linear, self._screen = linear, screen
        self.ranks: Sequence[int] = ()
        self._rest = self._next_rest = 0  # steps in which the screen is not asked

    def forward(self, states: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        rows = states.numel() // self.in_features
        if not self.is_whole(rows):
            ranks, self.ranks = self.ranks, ()
            found = self._best(states.reshape(rows, self.in_features), ranks)
            if found is not None:
                return found.view(*states.shape[:-1], self.out_features)
        output: Tensor = self.linear(states)
        return output

    def is_whole(self, rows: int) -> bool:
        """Whether the next call, of so many rows, is one of the layer itself. Asked once for each that is."""
        if not 0 < len(self.ranks) == rows <= MOST_ROWS:
            self.ranks = ()
            return True
        if self._rest:
            self._rest, self.ranks = self._rest - 1, ()
            return True
        return False

    def _best(self, states: Tensor, ranks: Sequence[int]) -> Tensor | None:
        """Where too many logits may be among the best, the work was in vain: it rests, longer each time."""
        found = self._screen.best(states, ranks)
        if found is None:
            self._rest = self._next_rest = min(2 * self._next_rest + 1, LONGEST_REST)
        else:
            self._next_rest = 0
        return found


def linear_of(head: nn.Module, rows: int) -> KernelLinear | None:
    """What the next call, of so many rows, comes to, if it is a product by the kernel and no more."""
    if isinstance(head, ScreenedHead):
        if not head.is_whole(rows):
            return None
        head = head.linear
    if isinstance(head, KernelLinear) and not head.packed.takes_matrix_units(rows):
        return head
    return None


def screen_head(model: PreTrainedModel, kernels: Kernels, vocab_size: int) -> None:
    """Puts a screen before the model's output layer, where it is large and its own logits are the
    model's. `vocab_size` is how many there are.
    """
    head = _head_of(model)
    if not kernels.screens.pays or not isinstance(head, KernelLinear):
        return
    if head.packed.nbytes < SCREENED_FROM or not _says_what_the_head_says(model, head, vocab_size):
        return
    try:
        screen = Screen(kernels, head.packed)
    except ScreenError as error:
        logger.warning("the output layer is read whole in every step: %s", error)
        return
    model.set_output_embeddings(ScreenedHead(head, screen))  # type: ignore[no-untyped-call]
    logger.info("the output layer has a screen of %.0f MB", screen.nbytes / 1e6)


def screened_head_of(model: PreTrainedModel) -> ScreenedHead | None:
    head = _head_of(model)
    return head if isinstance(head, ScreenedHead) else None


def _head_of(model: PreTrainedModel) -> nn.Module | None:
    head: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head


def _says_what_the_head_says(model: PreTrainedModel, head: nn.Module, vocab_size: int) -> bool:
    """Some models cap or scale what their head says: then -inf may become a number, and unequal logits
    equal.
    """
    generator = torch.Generator().manual_seed(0)
    said = (40 * torch.randn(1, 1, vocab_size, generator=generator)).to(model.dtype)
    said[..., ::3] = -torch.inf
    hook = head.register_forward_hook(lambda *_: said.clone())
    zero = torch.zeros(1, dtype=torch.int64)
    try:
        with torch.inference_mode():
            logits = call_model(model, zero, zero, zero, ProbeStep())
    finally:
        hook.remove()
    return torch.equal(logits, said[0])
