"""The models of a gateway, and which of them a request is for."""

from collections.abc import Iterator, Sequence

from baton.core.errors import NotFoundError
from gateway.models.served_model import ServedModel


class ServedModels:
    """In the order in which they were named. A model whose workers are away is served as well: it is
    the request for it that hears of that.
    """

    def __init__(self, models: Sequence[ServedModel]) -> None:
        """At least one; no name is of two."""
        self._models = tuple(models)
        self._named = {name: model for model in models for name in model.names.all}

    @property
    def first(self) -> ServedModel:
        return self._models[0]

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models)

    def named(self, name: str | None) -> ServedModel:
        """None and "" mean the first one. Raises NotFoundError that names all that are served."""
        if not name:
            return self.first
        model = self._named.get(name)
        if model is None:
            known = ", ".join(self._named)
            raise NotFoundError(f"The model `{name}` does not exist. Served: {known}.", "model")
        return model

    @property
    def can_answer(self) -> bool:
        """Whether some model has a worker that takes requests."""
        return any(model.workers.can_answer for model in self._models)

    @property
    def trouble(self) -> str | None:
        """Why the registry cannot be read now, as a sentence."""
        return self.first.workers.trouble
