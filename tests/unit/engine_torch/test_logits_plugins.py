"""Processors that a request names, and those that the server has loaded."""

import pytest

from baton.core.errors import RequestError, SettingsError
from baton.core.sampling_params import ProcessorCall, SamplingParams
from baton.engine.plan import Drawn
from baton.engine.sampling.logits_plugins import LogitsPlugins
from tests.support.drawing import PROCESSORS, PROMPT, draw, outcomes, plugins, rising, token


def test_a_processor_sees_the_answer_and_if_it_wants_the_prompt() -> None:
    def call(name: str, args: str = "", kwargs: str = "") -> tuple[ProcessorCall, ...]:
        return (ProcessorCall(f"{PROCESSORS}.{name}", args, kwargs),)

    assert token(rising(), draw((3, 4), processors=call("only_twice_the_last"))) == 8
    assert token(rising(), draw((4,), processors=call("only_the_prompts_first"))) == PROMPT[0]
    assert token(rising(), draw(processors=call("only", "[7]"))) == 7
    assert token(rising(), draw(processors=call("only", "[7]", '{"but": 6}'))) == 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{PROCESSORS}.nothing", "cannot be used"),
        (f"{PROCESSORS}_missing.only", "cannot be used"),
        ("os.system", "is not allowed"),
        (f"{PROCESSORS}.breaks", "has failed .KeyError: 'oh'"),
        (f"{PROCESSORS}.returns_no_number", "no number"),
    ],
)
def test_a_processor_that_cannot_be_used_ends_its_own_request(name: str, message: str) -> None:
    broken = draw(processors=(ProcessorCall(name),))
    [failure, healthy] = outcomes(rising().expand(2, -1), broken, draw())
    assert isinstance(failure, RequestError)
    assert message.split(" .")[0] in str(failure)
    assert healthy == Drawn(11)


def test_processors_are_checked_before_anything_is_computed() -> None:
    for params in (
        SamplingParams(1, 0, processors=(ProcessorCall("os.system"),)),
        SamplingParams(1, 0, processors=(ProcessorCall(f"{PROCESSORS}.nothing"),)),
    ):
        with pytest.raises(RequestError) as caught:
            plugins().check(params)
        assert caught.value.param == "logits_processors"
    with pytest.raises(RequestError, match="not allowed"):
        LogitsPlugins().check(
            SamplingParams(1, 0, processors=(ProcessorCall(f"{PROCESSORS}.only"),))
        )


def test_a_loaded_processor_is_steered_by_extra_arguments() -> None:
    loaded = plugins("Favours")
    assert token(rising(), draw(extra_args='{"favours": 3}'), loaded) == 3
    loaded.check(SamplingParams(1, 0, extra_args='{"favours": 3}'))
    for extra in ('{"favours": "x"}', '{"other": 1}'):
        with pytest.raises(RequestError) as caught:
            loaded.check(SamplingParams(1, 0, extra_args=extra))
        assert caught.value.param == "vllm_xargs"


def test_extra_arguments_that_nobody_takes_are_refused() -> None:
    with pytest.raises(RequestError, match="no logits processor of this server takes a"):
        plugins().check(SamplingParams(1, 0, extra_args='{"a": 1}'))


@pytest.mark.parametrize("name", ["missing", "breaks"])
def test_a_processor_that_cannot_be_loaded_stops_the_start(name: str) -> None:
    with pytest.raises(SettingsError, match=f"--logits-processors {PROCESSORS}.{name}"):
        plugins(name)
