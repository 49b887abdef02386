"""Logits processors of the operator's: one kind named by requests, one kind loaded at the start.

A request names a function (`logits_processors`) where --logits-processor-pattern allows it. It is
called as vLLM's first engine did: `f(answer, logits)` or `f(prompt, answer, logits)`, lists of token
ids and one float32 row [vocabulary], and returns the row to go on with. {"qualname", "args",
"kwargs"} names something that is first called with these, and returns such a function.

A server loads `Processor`s with --logits-processors; requests steer them with `vllm_xargs`.

Both must be functions of what they are given. A request moves from worker to worker and may be
computed again; what an object remembers is lost then.
"""

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from torch import Tensor

from baton.core.errors import BatonError, RequestError, SettingsError
from baton.core.sampling_params import ProcessorCall, SamplingParams
from baton.engine.plan import Draw

Function = Callable[..., Tensor]
Name = tuple[str, int, ProcessorCall]  # of a function: the draw's key and choice, and what made it

FIELD = "logits_processors"
XARGS = "vllm_xargs"


class Processor(Protocol):
    """What --logits-processors names: a class, made once without arguments, or an object.

    Both methods run on the engine's thread or before it, and must not block.
    """

    def wants(self, extra_args: Mapping[str, Any]) -> bool:
        """Whether a request with these `vllm_xargs` is for it. ValueError: they are wrong."""
        ...

    def apply(
        self,
        logits: Tensor,
        prompt: Sequence[int],
        answer: Sequence[int],
        extra_args: Mapping[str, Any],
    ) -> Tensor:
        """The row to go on with, float32 [vocabulary]; it may be the same one, changed."""
        ...


class LogitsPlugins:
    """What is kept from one draw to the next only saves time. `check` may run on any thread."""

    def __init__(self, pattern: str = "", qualnames: Sequence[str] = ()) -> None:
        """`pattern` empty: no request may name a processor. Raises SettingsError."""
        self._pattern = pattern
        self._processors = [_server_processor(name) for name in qualnames]
        self._functions: dict[Name, Function] = {}

    def check(self, params: SamplingParams) -> None:
        """Raises RequestError where a processor may not be used, is not there, or wants nothing."""
        for call in params.processors:
            self._made(call)
        if params.extra_args:
            self._wanting(json.loads(params.extra_args))

    def apply(self, logits: Tensor, rows: Sequence[tuple[int, Draw]]) -> dict[int, BatonError]:
        """Changes rows in place; says for which rows a processor has failed."""
        errors: dict[int, BatonError] = {}
        kept, self._functions = self._functions, {}
        for row, draw in rows:
            try:
                self._apply_one(logits[row], draw, kept)
            except RequestError as error:
                errors[row] = error
        return errors

    def _apply_one(self, row: Tensor, draw: Draw, kept: Mapping[Name, Function]) -> None:
        prompt = list(draw.tokens[: draw.num_prompt])
        answer = list(draw.tokens[draw.num_prompt :])
        for call in draw.params.processors:
            name = (draw.key, draw.choice, call)
            function = kept.get(name) or self._made(call)
            self._functions[name] = function
            _change(row, FIELD, call.qualname, partial(function, prompt, answer))
        if not draw.params.extra_args:
            return
        extra = json.loads(draw.params.extra_args)
        for one in self._wanting(extra):
            act = partial(one.apply, prompt=prompt, answer=answer, extra_args=extra)
            _change(row, XARGS, type(one).__name__, act)

    def _made(self, call: ProcessorCall) -> Function:
        """Taking prompt, answer and logits."""
        if not self._pattern or not re.match(self._pattern, call.qualname):
            raise RequestError(f"{FIELD}: {call.qualname} is not allowed on this worker", FIELD)
        try:
            found = imported(call.qualname)
            if call.args or call.kwargs:
                found = found(*json.loads(call.args or "[]"), **json.loads(call.kwargs or "{}"))
            takes_prompt = len(inspect.signature(found).parameters) > 2
        except Exception as error:  # somebody else's code, or its absence
            message = f"{FIELD}: {call.qualname} cannot be used ({type(error).__name__}: {error})"
            raise RequestError(message, FIELD) from error
        if takes_prompt:
            return found  # type: ignore[no-any-return]
        return lambda prompt, answer, logits: found(answer, logits)

    def _wanting(self, extra_args: Mapping[str, Any]) -> list[Processor]:
        try:
            wanting = [one for one in self._processors if one.wants(extra_args)]
        except Exception as error:  # somebody else's code
            raise RequestError(f"{XARGS}: {error}", XARGS) from error
        if not wanting:
            raise RequestError(
                f"{XARGS}: no logits processor of this server takes {', '.join(extra_args)}", XARGS
            )
        return wanting


def imported(qualname: str) -> Any:
    """The object at `package.module.name` or `package.module:name`."""
    module, _, name = qualname.replace(":", ".").rpartition(".")
    return getattr(import_module(module), name)


def _change(row: Tensor, field: str, name: str, act: Function) -> None:
    try:
        row.copy_(act(row.clone()))
    except Exception as error:  # somebody else's code: the request ends, the engine goes on
        message = f"{field}: {name} has failed ({type(error).__name__}: {error})"
        raise RequestError(message, field) from error


def _server_processor(qualname: str) -> Processor:
    try:
        found = imported(qualname)
        processor: Processor = found() if isinstance(found, type) else found
    except Exception as error:  # somebody else's code, or its absence
        raise SettingsError(
            f"--logits-processors {qualname} cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    for method in ("wants", "apply"):
        if not callable(getattr(processor, method, None)):
            raise SettingsError(f"--logits-processors {qualname} has no method {method!r}")
    return processor
