"""The names that a model goes by."""

import time


class ModelNames:
    """Clients may use any of them; answers carry the first."""

    def __init__(self, names: tuple[str, ...], root: str) -> None:
        self._names = names
        self._root = root
        self._created = int(time.time())

    @property
    def first(self) -> str:
        return self._names[0]

    @property
    def all(self) -> tuple[str, ...]:
        return self._names

    @property
    def root(self) -> str:
        """Folder or hub id."""
        return self._root

    def cards(self, max_model_len: int | None) -> list[dict[str, object]]:
        return [self.card(name, max_model_len) for name in self._names]

    def card(self, name: str, max_model_len: int | None) -> dict[str, object]:
        """`name` is one of its own."""
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "baton",
            "root": self._root,
            "parent": None,
            "max_model_len": max_model_len,
            "permission": [_permission(name, self._created)],
        }


def _permission(name: str, created: int) -> dict[str, object]:
    """What everyone may do with the model; some clients insist on the object."""
    return {
        "id": f"modelperm-{name}",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
