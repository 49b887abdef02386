"""`x-ratelimit-*` headers, as OpenAI has them."""

import math

from baton.registry.quota import MINUTE, Quota, Verdict

RATE_HEADERS = tuple(
    f"x-ratelimit-{what}-{name}"
    for name in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)


def rate_headers(quota: Quota, verdict: Verdict) -> dict[str, str]:
    """Of the limits that there are."""
    headers: dict[str, str] = {}
    for name, limit, left in (
        ("requests", quota.requests_per_minute, verdict.requests_left),
        ("tokens", quota.tokens_per_minute, verdict.tokens_left),
    ):
        if limit is not None:
            headers[f"x-ratelimit-limit-{name}"] = f"{limit:.0f}"
            headers[f"x-ratelimit-remaining-{name}"] = str(max(0, math.floor(left)))
            headers[f"x-ratelimit-reset-{name}"] = duration((limit - left) * MINUTE / limit)
    return headers


def duration(seconds: float) -> str:
    """Until the limit is whole again, such as 1m30s, 2.5s or 20ms."""
    milliseconds = math.ceil(max(0.0, seconds) * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
