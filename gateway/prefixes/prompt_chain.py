"""The names by which workers know the prefixes of one prompt."""

from collections.abc import Sequence

from baton.core.block_hashes import root_hash, stride_keys
from baton.core.fingerprint import Fingerprint
from baton.core.kv_events import stride_of
from baton.core.prompt_images import ImageSpan


class Naming:
    """How workers of one fingerprint name prefixes."""

    __slots__ = ("digest", "stride")

    def __init__(self, fingerprint: Fingerprint) -> None:
        self.digest = fingerprint.digest()
        self.stride = stride_of(fingerprint.layout.block_size)  # tokens


class PromptChain:
    """Hashed when it is first asked for, and once per naming."""

    def __init__(
        self,
        tokens: Sequence[int],
        cache_salt: str = "",
        tenant: str = "",
        reads_cache: bool = True,
        images: Sequence[ImageSpan] = (),
    ) -> None:
        """`tokens`: all that is to be read. `reads_cache` False: every one of them is computed,
        whatever is cached.
        """
        self._tokens = tokens
        self._reads_cache = reads_cache
        self._cache_salt = cache_salt
        self._tenant = tenant
        self.images = images  # where they stand
        self._keys: dict[str, list[int]] = {}  # by the naming's digest

    def __len__(self) -> int:
        """Tokens."""
        return len(self._tokens)

    def keys(self, naming: Naming) -> list[int]:
        """Of the prefixes of 1, 2, ... strides. Not of the whole: the last token is always computed."""
        keys = self._keys.get(naming.digest)
        if keys is None and not self._reads_cache:
            return []
        if keys is None:
            root = root_hash(naming.digest, self._cache_salt, self._tenant)
            keys = stride_keys(root, self._tokens[:-1], naming.stride, self.images)
            self._keys[naming.digest] = keys
        return keys
