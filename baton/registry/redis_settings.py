"""The flags of those who use a registry in Redis."""

from dataclasses import dataclass

from baton.registry.redis_place import DEFAULT_PREFIX, RedisPlace
from baton.settings import setting


@dataclass(frozen=True, slots=True)
class RedisSettings:
    redis_url: str = setting(
        "",
        "Redis that gateways and workers meet in, such as redis://:PASSWORD@HOST:6379/0; without "
        "it one gateway keeps the registry itself.",
        secret=True,
    )
    redis_prefix: str = setting(
        DEFAULT_PREFIX, "Begins the name of every key there; clusters that share a Redis differ."
    )

    def check(self) -> None:
        """Raises SettingsError."""
        if self.place is not None:
            self.place.check()

    @property
    def place(self) -> RedisPlace | None:
        """None: no Redis is used."""
        return RedisPlace(self.redis_url, self.redis_prefix) if self.redis_url else None
