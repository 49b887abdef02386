"""The page's files, as they are served: nothing in them comes from elsewhere, and nothing may."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

PATH = "/ui"  # of the page; its files and what it asks for lie below
STATE, EVENTS = f"{PATH}/state", f"{PATH}/events"

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX = "index.html"
NAMES = tuple(sorted(path.name for path in _FOLDER.iterdir() if path.suffix in _TYPES))
OPEN_PATHS = frozenset({PATH, *(f"{PATH}/{name}" for name in NAMES if name != INDEX)})

# No script, style or picture but the files here, no answer shown as markup, no frame around the page.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        *(f"{what} 'none'" for what in ("base-uri", "form-action", "frame-ancestors")),
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # asked for again each time, by its tag
}


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    headers: dict[str, str]  # of the answer that holds it
    tag: str


def load_assets() -> dict[str, Asset]:
    """By name."""
    return {name: _asset(_FOLDER / name) for name in NAMES}


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    tag = f'"{sha256(content).hexdigest()[:16]}"'
    return Asset(content, {**HEADERS, "content-type": _TYPES[path.suffix], "etag": tag}, tag)
