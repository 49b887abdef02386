"""Which model a worker serves, by what it has loaded."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from baton.core.errors import SettingsError
from baton.core.worker_info import Role, WorkerInfo
from gateway.models.dealing import Dealer
from gateway.models.lineup import Identity, Lineup
from tests.support.gateway_members import make_fingerprint, make_info

BASE = Identity("base", "t", files="base files")
TUNED = Identity("tuned", "t", files="tuned files")
HUB = Identity("hub", "t", revision="commit")
OTHER = Identity("other", "u", files="other files")


def loaded(tokenizer: str, files: str = "", revision: str = "", worker: str = "d") -> WorkerInfo:
    fingerprint = replace(make_fingerprint(tokenizer=tokenizer), revision=revision)
    return replace(make_info(worker, Role.DECODE, fingerprint), files_digest=files)


def test_a_worker_of_a_tokenizer_that_one_model_has_is_that_models() -> None:
    lineup = Lineup([BASE, OTHER])
    assert lineup.of(loaded("t", "base files")) == 0
    assert lineup.of(loaded("u", "other files")) == 1
    assert lineup.of(loaded("u")) == 1  # it does not tell, and nothing speaks against it


def test_two_of_one_tokenizer_are_told_apart_by_their_weights_or_their_commit() -> None:
    lineup = Lineup([BASE, TUNED])
    assert lineup.of(loaded("t", "tuned files")) == 1
    assert lineup.of(loaded("t", "base files", revision="commit")) == 0
    lineup = Lineup([replace(BASE, revision="older"), HUB])
    assert lineup.of(loaded("t", "base files")) == 0  # a copy of the snapshot
    assert lineup.of(loaded("t", "unknown here", revision="commit")) == 1


@pytest.mark.parametrize(
    ("stranger", "why"),
    [
        (loaded("another"), "its tokenizer is that of no model of this gateway"),
        (
            loaded("u", "tuned"),
            "it has the tokenizer of a model of this gateway, and other weights",
        ),
        (
            loaded("t", "tuned"),
            "it has the tokenizer of a model of this gateway, and other weights",
        ),
        (loaded("t", revision="x"), "and other weights"),
        (loaded("t"), "it does not tell what it has loaded"),
    ],
)
def test_a_worker_of_no_model_is_told_why(stranger: WorkerInfo, why: str) -> None:
    lineup = Lineup([BASE, TUNED, OTHER])
    assert lineup.of(stranger) is None
    assert why in (lineup.stranger(stranger) or "")


def test_where_only_a_commit_is_known_other_files_are_nobodys() -> None:
    lineup = Lineup([BASE, HUB])
    assert lineup.of(loaded("t", "a third one's files")) is None


def test_a_gateway_of_one_model_looks_at_the_tokenizer_alone() -> None:
    lineup = Lineup([Identity("base", "t")])
    assert lineup.of(loaded("t", "whatever")) == 0
    assert lineup.stranger(loaded("u")) == "its tokenizer is not the gateway's"


@pytest.mark.parametrize(
    ("one", "other", "complaint"),
    [
        (BASE, replace(BASE, name="again"), "base and again are the same model"),
        (HUB, replace(HUB, name="again"), "hub and again are the same model"),
        (BASE, Identity("b", "t"), "without the weights of b this gateway cannot tell"),
    ],
)
def test_models_that_cannot_be_told_apart_are_refused(
    one: Identity, other: Identity, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Lineup([OTHER, one, other])


def test_workers_are_dealt_in_their_order_and_strangers_to_the_first() -> None:
    members = (
        loaded("u", worker="a"),
        loaded("t", "base files", worker="b"),
        loaded("x", worker="c"),
        loaded("u", worker="d"),
    )
    dealer = Dealer(_NoDirectory(), Lineup([BASE, OTHER]), 2)
    hands = [[info.worker_id for info in hand] for hand in dealer.dealt(members)]
    assert hands == [["b", "c"], ["a", "d"]]


class _NoDirectory:
    """Nobody reads it."""

    trouble = None

    def subscribe(self) -> AsyncIterator[tuple[WorkerInfo, ...]]:
        raise NotImplementedError
