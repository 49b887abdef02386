"""Decoder layers one after the other in one call of C++: nothing comes back to Python between them, and
threads stay together from the first one to the last.
"""

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.cpu_kernel import CpuKernelStep, KernelLayer, KernelStep
from baton.engine.modules import kernels as k
from baton.engine.modules.workspace import Space, Workspace


@dataclass(frozen=True, slots=True)
class Member:
    """A layer, and the number and the rule that it tells its attention."""

    layer: k.DecoderLayer
    number: int
    rule: AttentionRule


class LayerRun:
    """`members` in the order in which they are called, at least one."""

    def __init__(self, members: Sequence[Member], workspace: Workspace, kernels: k.Kernels) -> None:
        self._members, self._workspace = tuple(members), workspace
        self._run, self._kind = kernels.layers, members[0].layer.dtype
        self._layers = k.addresses_of([member.layer for member in members])
        self._attentions = (KernelLayer * len(members))()
        # To which they point; not kept: that of the longest step may be large.
        self._space: weakref.ref[Space] | None = None

    def run(
        self,
        states: Tensor,
        cos: Tensor,
        sin: Tensor,
        step: CpuKernelStep,
        count: int,
        ending: k.Ending | None = None,
    ) -> Tensor:
        """[1, rows, hidden], as `states`, behind the first `count` layers; [1, rows, rotary] the others.

        All are contiguous. More than one layer write to `states` as well. Then comes the ending.
        """
        output = torch.empty_like(states)
        space = self._workspace.of(states.shape[1])
        batch = space.batch_of(states, output, cos, sin)
        batch.attended = space.attended.data_ptr()
        for member in self._members[:count]:
            member.layer.rotary = cos.shape[-1]
        told = self._told(space, step)
        ending = ending or k.Ending()
        if not ending.step:
            ending.step = ctypes.pointer(told)
        self._run(self._layers, self._attentions, count, batch, told, ending, self._kind)
        return output if count % 2 else states

    def _told(self, space: Space, step: CpuKernelStep) -> KernelStep:
        """What attention is told of each layer is the same as long as it stands in the same memory."""
        heads = (space.query, space.key, space.value, space.attended)
        first, *others = self._members
        told, self._attentions[0] = step.told(first.number, *heads, first.rule)
        if self._space is None or self._space() is not space:
            self._space = weakref.ref(space)
            for place, member in enumerate(others, 1):
                _, self._attentions[place] = step.told(member.number, *heads, member.rule)
        return told
