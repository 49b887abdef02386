"""Which model of a gateway a worker serves, by what it has loaded. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from baton.core.errors import SettingsError
from baton.core.worker_info import WorkerInfo


@dataclass(frozen=True, slots=True)
class Identity:
    """A model as its folder shows it to a gateway. Empty is what cannot be seen there."""

    name: str  # as clients call it
    tokenizer: str  # digest of tokenizer.json
    files: str = ""  # of configuration and weights: `baton.model_source.digest_of_files`
    revision: str = ""  # commit of the hub's snapshot

    def is_of(self, info: WorkerInfo) -> bool:
        """Surely: the same files, or the same commit."""
        return bool(
            (self.files and self.files == info.files_digest)
            or (self.revision and self.revision == info.fingerprint.revision)
        )

    def may_be_of(self, info: WorkerInfo) -> bool:
        """Nothing that both tell speaks against it."""
        told = [(self.files, info.files_digest), (self.revision, info.fingerprint.revision)]
        return self.is_of(info) or not any(mine and theirs for mine, theirs in told)


class Lineup:
    """The models, in their order."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        """Raises SettingsError for two whose workers could not be told apart."""
        self._identities = tuple(identities)
        for index, one in enumerate(self._identities):
            for other in self._identities[:index]:
                _check_apart(other, one)

    def of(self, info: WorkerInfo) -> int | None:
        """The model's place; None: it serves none of them, or it cannot be told which. Where several
        have the worker's tokenizer, it must be sure.
        """
        alike = self._alike(info)
        if len(alike) == 1 and self._identities[alike[0]].may_be_of(info):
            return alike[0]
        sure = [place for place in alike if self._identities[place].is_of(info)]
        return sure[0] if len(sure) == 1 else None

    def stranger(self, info: WorkerInfo) -> str | None:
        """Why it serves none of them, as a sentence; None: it does."""
        if self.of(info) is not None:
            return None
        if not self._alike(info):
            if len(self._identities) == 1:
                return "its tokenizer is not the gateway's"
            return "its tokenizer is that of no model of this gateway"
        if info.files_digest or info.fingerprint.revision:
            return "it has the tokenizer of a model of this gateway, and other weights"
        return (
            "it does not tell what it has loaded, and several models of this gateway have its "
            "tokenizer"
        )

    def _alike(self, info: WorkerInfo) -> list[int]:
        """Places of models with its tokenizer."""
        tokenizer = info.fingerprint.tokenizer_digest
        return [i for i, one in enumerate(self._identities) if one.tokenizer == tokenizer]


def _check_apart(one: Identity, other: Identity) -> None:
    if one.tokenizer != other.tokenizer:
        return
    if any(x and x == y for x, y in ((one.files, other.files), (one.revision, other.revision))):
        raise SettingsError(
            f"{one.name} and {other.name} are the same model: give it both names by "
            "--served-model-name"
        )
    for blind in (one, other):
        if not blind.files and not blind.revision:
            raise SettingsError(
                f"{one.name} and {other.name} have the same tokenizer, and without the weights of "
                f"{blind.name} this gateway cannot tell their workers apart: name a folder that holds "
                "them, or a hub id"
            )
