"""Traces as others publish them."""

from pathlib import Path

import pytest

from baton.cluster.traces import Piece, Trace, load_trace
from baton.core.errors import SettingsError

MOONCAKE = """\
{"timestamp": 0, "input_length": 600, "output_length": 7, "hash_ids": [0, 5]}
{"timestamp": 1500, "input_length": 512, "output_length": 0, "hash_ids": [0]}

{"timestamp": 2000.5, "input_length": 3, "output_length": 1}
"""
AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
"""


def read(folder: Path, text: str) -> Trace:
    file = folder / "trace"
    file.write_text(text)
    return load_trace(str(file), seed=1)


def test_mooncakes_blocks_are_pieces_of_a_prompt(tmp_path: Path) -> None:
    first, second, third = read(tmp_path, MOONCAKE).requests
    assert first.pieces == (Piece(0, 512), Piece(5, 88))
    assert second.pieces == (Piece(0, 512),)
    assert [one.at for one in (first, second, third)] == [0, 1.5, 2.0005]
    assert [one.output_tokens for one in (first, second, third)] == [7, 1, 1]


def test_without_ids_prompts_have_nothing_in_common(tmp_path: Path) -> None:
    *_, alone = read(tmp_path, MOONCAKE).requests
    assert alone.input_tokens == 3
    assert alone.pieces[0].content not in (0, 5)


def test_azures_times_count_from_the_first(tmp_path: Path) -> None:
    first, second = read(tmp_path, AZURE).requests
    assert (first.at, first.input_tokens, first.output_tokens) == (0, 374, 44)
    assert second.at == pytest.approx(4.314579)
    assert first.pieces[0].content != second.pieces[0].content


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("hello", "line 1: neither a JSON object"),
        ("\n" + MOONCAKE + "{oops", "line 6: no JSON"),
        (MOONCAKE + "[1]", "line 5: no JSON object"),
        ('{"timestamp": 0, "input_length": 3}', "line 1: output_length must be a whole number"),
        (
            '{"timestamp": -1, "input_length": 3, "output_length": 1}',
            "timestamp must be a number from 0 on, not -1",
        ),
        (
            '{"timestamp": true, "input_length": 3, "output_length": 1}',
            "timestamp must be a number from 0 on, not true",
        ),
        (
            '{"timestamp": 0, "input_length": 513, "output_length": 1, "hash_ids": [1]}',
            "line 1: 1 hash_ids for 513 input tokens; 2 blocks of 512 are needed",
        ),
        (
            '{"timestamp": 0, "input_length": 3, "output_length": 1, "hash_ids": ["a"]}',
            "hash_ids must be a list of whole numbers",
        ),
        (
            MOONCAKE + '{"timestamp": 1, "input_length": 3, "output_length": 1}',
            "line 5: earlier than the line before",
        ),
        (AZURE + "2023-11-16 18:15:50,1", "line 4: 2 fields instead of"),
        (AZURE + "yesterday,1,2", "line 4: no time: yesterday"),
        (AZURE + "2023-11-17,-1,2", "line 4: ContextTokens must be a whole number"),
        (AZURE.splitlines()[0], "has no requests"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(tmp_path, text)
    assert told in str(error.value)


def test_a_trace_that_is_not_there_says_what_could_be() -> None:
    with pytest.raises(SettingsError, match="neither a file nor one of poisson:"):
        load_trace("nothing", seed=1)
