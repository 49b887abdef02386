"""Answers that follow a grammar, over real workers with a small real model and a real tokenizer."""

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from baton.core.errors import RequestError
from baton.core.sampling_params import Grammar, SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from baton.engine.config import EngineConfig
from baton.engine.runners.torch_runner import load_torch_runner
from baton.engine.work import WorkDone
from baton.grammars.tokens import load_tokens
from baton.rpc.errors import from_rpc_error
from gateway.structured.json_schema import JsonOptions, json_grammar
from gateway.structured.text_grammars import choice_grammar, regex_grammar, to_lark
from gateway.structured.tool_calls import Markup, forced_calls
from gateway.tool_use import ToolFunction
from tests.support.acceptance import Acceptance
from tests.support.engine_events import EventLog
from tests.support.engine_running import running_engine
from tests.support.engine_works import generate
from tests.support.grammars import EOS, ROWS, tokenizer_in, write_tokenizer
from tests.support.models import make
from tests.support.worker_trio import PROMPT, cluster

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
        "size": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "size"],
    "additionalProperties": False,
}
COMPACT = JsonOptions(disable_any_whitespace=True)
GRAMMARS = {
    "json": json_grammar(SCHEMA, COMPACT),
    "any json": json_grammar({"type": "object"}, JsonOptions()),
    "regex": regex_grammar(r"[a-f]{3,9}-\d{2}"),
    "choice": choice_grammar(["positive", "negative", "neither, nor"]),
    "lark": 'start: item (", " item)*\nitem: /[a-z]{1,4}/ "=" /[0-9]{1,3}/',
    "ebnf": to_lark('root ::= "(" [0-9]+ ")" | root root'),
    "hermes": forced_calls(
        [ToolFunction("f", SCHEMA), ToolFunction("g")], None, Markup.HERMES, options=COMPACT
    ),
    "pythonic": forced_calls([ToolFunction("f", SCHEMA), ToolFunction("g")], None, Markup.PYTHONIC),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tokenizer(tmp_path_factory.mktemp("models") / "llama")
    return make("Llama", folder, vocab_size=ROWS, eos_token_id=EOS)


@pytest.fixture(scope="module")
def acceptance(folder: Path) -> Acceptance:
    return Acceptance(load_tokens(folder, ROWS, {EOS}, logging.getLogger()))


def params_for(grammar: str, temperature: float = 1.0, n: int = 1) -> SamplingParams:
    return SamplingParams(
        max_tokens=48, seed=3, temperature=temperature, n=n, grammar=Grammar(grammar)
    )


def check(
    acceptance: Acceptance, folder: Path, grammar: str, records: tuple[TokenRecord, ...]
) -> str:
    """A whole answer, or the beginning of one where the tokens ran out. Returns its text."""
    ids = [record.token_id for record in records]
    text: str = tokenizer_in(folder).decode(ids, skip_special_tokens=True)
    reason = records[-1].finish_reason
    if reason is FinishReason.STOP:
        assert ids[-1] == EOS
        assert acceptance.takes(grammar, text), text
    else:
        assert reason is FinishReason.LENGTH
        assert acceptance.begins(grammar, text.rstrip("\ufffd")), text
    return text


@pytest.mark.parametrize("form", GRAMMARS)
async def test_an_answer_follows_its_grammar_and_is_the_same_wherever_it_is_written(
    folder: Path, acceptance: Acceptance, form: str
) -> None:
    grammar = GRAMMARS[form]
    async with cluster(folder) as workers:
        for params in (params_for(grammar, 0.0), params_for(grammar, n=2)):
            cold = await workers.relayed(params)
            warm = await workers.relayed(params)
            alone = await workers.by_one(params)

            assert cold == warm == alone
            for records in cold:
                text = check(acceptance, folder, grammar, records)
                if form == "json" and records[-1].finish_reason is FinishReason.STOP:
                    assert set(json.loads(text)) <= set(SCHEMA["properties"])  # type: ignore[call-overload]


async def test_constrained_and_free_answers_share_a_batch_and_do_not_disturb_each_other(
    folder: Path,
) -> None:
    free = SamplingParams(max_tokens=24, seed=5)
    asked = [free, params_for(GRAMMARS["json"]), params_for(GRAMMARS["choice"]), free]
    async with cluster(folder) as workers:
        one_by_one = [await workers.by_one(params) for params in asked]
        together = await asyncio.gather(*(workers.by_one(params) for params in asked))

    assert together == one_by_one


async def test_a_grammar_binds_from_behind_its_tag(folder: Path, acceptance: Acceptance) -> None:
    free = SamplingParams(max_tokens=20, seed=4, temperature=0.0, ignore_eos=True)
    grammar = GRAMMARS["choice"]
    async with cluster(folder) as workers:
        (before,) = await workers.relayed(free)
        ids = [record.token_id for record in before]
        tag = tuple(ids[3:6])
        bound = replace(free, ignore_eos=False, grammar=Grammar(grammar, tag))
        (relayed,) = await workers.relayed(bound)
        (alone,) = await workers.by_one(bound)

    assert relayed == alone
    first = next(at for at in range(len(ids)) if tuple(ids[at : at + 3]) == tag)
    assert [record.token_id for record in relayed][: first + 3] == ids[: first + 3]
    check(acceptance, folder, grammar, relayed[first + 3 :])


async def test_ignoring_the_end_an_answer_goes_on_behind_its_grammar(folder: Path) -> None:
    params = replace(params_for(choice_grammar(["yes", "no"]), 0.0), ignore_eos=True)
    async with cluster(folder) as workers:
        (records,) = await workers.relayed(params)

    text = tokenizer_in(folder).decode([r.token_id for r in records], skip_special_tokens=True)
    assert len(records) == params.max_tokens
    assert text.startswith(("yes", "no"))


async def test_a_grammar_that_no_worker_can_use_ends_its_own_request_alone(folder: Path) -> None:
    good, bad = params_for(GRAMMARS["choice"]), params_for("start: nothing")
    async with cluster(folder) as workers:
        answer = asyncio.ensure_future(workers.by_one(good))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await workers.by_one(bad)
        error = from_rpc_error(caught.value)
        assert isinstance(error, RequestError)
        assert "cannot be used" in str(error)
        assert (await answer)[0][-1].finish_reason is FinishReason.STOP
        await workers.alone.until_idle()


def test_an_answer_that_is_preempted_goes_on_in_its_grammar(folder: Path) -> None:
    asked = {f"w{n}": replace(params_for(GRAMMARS["any json"]), seed=n) for n in range(6)}
    works = {key: generate(key, (*PROMPT, ord(key[1])), params) for key, params in asked.items()}
    roomy = EngineConfig()
    runner = load_torch_runner(str(folder), roomy)
    tight = replace(roomy, kv_cache_memory_bytes=14 * runner.layout.block_bytes)

    def answered(config: EngineConfig, *batches: list[str]) -> dict[str, tuple[TokenRecord, ...]]:
        runner = load_torch_runner(str(folder), config)
        found = {}
        with running_engine(config, runner) as engine:
            for batch in batches:
                logs = {key: EventLog() for key in batch}
                for key, log in logs.items():
                    engine.submit(works[key], log)
                for key, log in logs.items():
                    assert isinstance(log.wait_for_end(), WorkDone)
                    found[key] = log.records()
        return found

    one_by_one = answered(roomy, *([key] for key in works))
    together = answered(tight, list(works))

    assert together == one_by_one
