"""Answers in xgrammar's grammars, over real workers with a small real model and a real tokenizer."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from baton.core.sampling_params import Grammar, GrammarBackend, SamplingParams
from baton.core.token_record import FinishReason
from baton.grammars.xgrammar_compiler import XgrammarCompiler
from gateway.schema.structured_fields import StructuredFields
from gateway.structured.config import StructuredConfig
from gateway.structured.constraint import constraint_of
from gateway.structured.tool_calls import Markup
from gateway.structured.xgrammar_text import constraint_text, forced_calls_text
from gateway.tool_use import ToolFunction
from tests.support.grammars import EOS, ROWS, tokenizer_in, write_tokenizer
from tests.support.models import make
from tests.support.worker_trio import cluster
from tests.support.xgrammar_extra import XgrammarAcceptance, needs_xgrammar, quiet

pytestmark = [needs_xgrammar, quiet]

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "size": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "size"],
    "additionalProperties": False,
}


def text_of(**outputs: object) -> str:
    asked = StructuredFields.model_validate({"structured_outputs": outputs})
    constraint = constraint_of(asked, StructuredConfig())
    assert constraint is not None
    return constraint_text(constraint, {})


GRAMMARS = {
    "json": text_of(json=SCHEMA, disable_any_whitespace=True),
    "regex": text_of(regex=r"[a-f]{3,9}-\d{2}"),
    "choice": text_of(choice=["positive", "negative", "neither, nor"]),
    "ebnf": text_of(grammar='root ::= "(" [0-9]+ ")" | root root'),
    "hermes": forced_calls_text([ToolFunction("f", SCHEMA)], None, Markup.HERMES, True, {}),
}


def params_for(grammar: str, temperature: float = 1.0, n: int = 1) -> SamplingParams:
    bound = Grammar(grammar, backend=GrammarBackend.XGRAMMAR)
    return SamplingParams(max_tokens=48, seed=3, temperature=temperature, n=n, grammar=bound)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tokenizer(tmp_path_factory.mktemp("models") / "llama")
    return make("Llama", folder, vocab_size=ROWS, eos_token_id=EOS)


@pytest.fixture(scope="module")
def taken(folder: Path) -> XgrammarAcceptance:
    return XgrammarAcceptance(
        XgrammarCompiler(folder, ROWS, {EOS}, logging.getLogger()), folder, ROWS
    )


@pytest.mark.parametrize("form", GRAMMARS)
async def test_an_answer_follows_its_grammar_and_is_the_same_wherever_it_is_written(
    folder: Path, taken: XgrammarAcceptance, form: str
) -> None:
    grammar = GRAMMARS[form]
    async with cluster(folder) as workers:
        for params in (params_for(grammar, 0.0), params_for(grammar, n=2)):
            cold = await workers.relayed(params)
            warm = await workers.relayed(params)
            alone = await workers.by_one(params)

            assert cold == warm == alone
            for records in cold:
                ids = [record.token_id for record in records]
                if records[-1].finish_reason is FinishReason.STOP:
                    assert ids[-1] == EOS
                    assert taken.takes_tokens(grammar, ids[:-1])
                else:
                    assert taken.begins_with_tokens(grammar, ids)


async def test_ignoring_the_end_an_answer_goes_on_behind_its_grammar(folder: Path) -> None:
    params = replace(params_for(text_of(choice=["yes", "no"]), 0.0), ignore_eos=True)
    async with cluster(folder) as workers:
        (records,) = await workers.relayed(params)

    text = tokenizer_in(folder).decode([r.token_id for r in records], skip_special_tokens=True)
    assert len(records) == params.max_tokens
    assert text.startswith(("yes", "no"))


async def test_a_grammar_binds_from_behind_its_tag(folder: Path, taken: XgrammarAcceptance) -> None:
    free = SamplingParams(max_tokens=20, seed=4, temperature=0.0, ignore_eos=True)
    grammar = GRAMMARS["choice"]
    async with cluster(folder) as workers:
        (before,) = await workers.relayed(free)
        ids = [record.token_id for record in before]
        tag = tuple(ids[3:6])
        bound = Grammar(grammar, tag, GrammarBackend.XGRAMMAR)
        (relayed,) = await workers.relayed(replace(free, ignore_eos=False, grammar=bound))

    first = next(at for at in range(len(ids)) if tuple(ids[at : at + 3]) == tag)
    answer = [record.token_id for record in relayed]
    assert answer[: first + 3] == ids[: first + 3]
    rest = answer[first + 3 :]
    if relayed[-1].finish_reason is FinishReason.STOP:
        assert taken.takes_tokens(grammar, rest[:-1])
    else:
        assert taken.begins_with_tokens(grammar, rest)
