"""What an operator says of images in requests."""

from dataclasses import dataclass
from typing import Any

from baton.core.errors import SettingsError
from baton.images.limits import MOST_PIXELS
from baton.settings import setting
from gateway.images.bounds import ImageBounds
from gateway.images.media_hosts import MediaHosts

IMAGE, OTHERS = "image", ("audio", "video")
DEFAULT_IMAGES = 16
MOST_BYTES = 48 << 20  # that a message to a worker has room for, beside everything else


@dataclass(frozen=True, slots=True)
class ImageSettings:
    allowed_media_domains: tuple[str, ...] = setting(
        (),
        "Hosts, or host:port, from which images are fetched over http(s) (default: none; images then "
        "come as data: URLs).",
    )
    image_fetch_seconds: float = setting(
        10.0, "Longest time that fetching one image may take, redirects included."
    )
    limit_mm_per_prompt: dict[str, Any] | None = setting(
        None, f'Most images of a request, such as {{"image": 4}} (default: {DEFAULT_IMAGES}).'
    )
    max_image_bytes: int = setting(
        32 << 20, "Largest size of all images of a request together.", size=True
    )
    max_image_pixels: int = setting(1 << 25, "Most pixels of an image.", size=True)
    trust_request_mm_kwargs: bool = setting(
        False, "Let requests set the bounds that images are scaled to (mm_processor_kwargs)."
    )

    def check(self) -> None:
        """Raises SettingsError."""
        try:
            self.hosts()
        except ValueError as error:
            raise SettingsError(f"--allowed-media-domains: {error}") from error
        if not 0 < self.image_fetch_seconds < float("inf"):
            raise SettingsError("--image-fetch-seconds must be a positive number")
        if not 1 <= self.max_image_bytes <= MOST_BYTES:
            raise SettingsError(f"--max-image-bytes must be between 1 and {MOST_BYTES}")
        if not 1 <= self.max_image_pixels <= MOST_PIXELS:
            raise SettingsError(f"--max-image-pixels must be between 1 and {MOST_PIXELS}")
        for kind, most in (self.limit_mm_per_prompt or {}).items():
            flag = f"--limit-mm-per-prompt {kind}"
            if kind not in (IMAGE, *OTHERS):
                raise SettingsError(f"{flag}: it has {IMAGE}, {' and '.join(OTHERS)}")
            if not isinstance(most, int) or isinstance(most, bool) or most < 0:
                raise SettingsError(f"{flag} must be a whole number, 0 or more")
            if kind in OTHERS and most:
                raise SettingsError(f"{flag}: no model here reads any; leave it out or at 0")

    def hosts(self) -> MediaHosts:
        """Raises ValueError."""
        return MediaHosts(self.allowed_media_domains)

    @property
    def bounds(self) -> ImageBounds:
        most = (self.limit_mm_per_prompt or {}).get(IMAGE, DEFAULT_IMAGES)
        return ImageBounds(most, self.max_image_bytes, self.max_image_pixels)
