"""A model's vision tower, which stays as it is: it runs on a thread of its own beside the engine's."""

from collections.abc import Iterator

from torch import nn


def tower_of(model: nn.Module) -> nn.Module | None:
    """None where the model reads only text."""
    tower = getattr(getattr(model, "model", None), "visual", None)
    return tower if isinstance(tower, nn.Module) else None


def language_modules(model: nn.Module) -> Iterator[nn.Module]:
    """All modules but those of the tower."""
    tower = tower_of(model)
    left_out = set() if tower is None else set(tower.modules())
    return (module for module in model.modules() if module not in left_out)
