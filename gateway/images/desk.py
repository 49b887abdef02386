"""From the parts of a chat to its images, or to the reason why one is refused."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from baton.core.errors import RequestError
from baton.core.prompt_images import image_digest
from baton.images.errors import ImageError
from baton.images.image_rules import ImageRules
from gateway.images.bounds import ImageBounds
from gateway.images.data_url import decode_data_url
from gateway.images.expansion import SizedImage
from gateway.images.fetching import ImageFetcher
from gateway.schema.image_part import ImagePart

_NO_TYPE = ("", "application/octet-stream", "binary/octet-stream")  # nothing is said of what it is
_ALIASES = {"image/jpg": "image/jpeg"}


class ImageDesk:
    def __init__(
        self,
        rules: ImageRules | None,
        bounds: ImageBounds,
        fetcher: ImageFetcher,
        *,
        trusts_kwargs: bool = False,
    ) -> None:
        """`rules` None: the model reads only text."""
        self.rules = rules
        self._bounds = bounds
        self._fetcher = fetcher
        self._trusts_kwargs = trusts_kwargs

    async def read(
        self, parts: Sequence[ImagePart], kwargs: Mapping[str, Any] | None
    ) -> list[SizedImage]:
        """In order; `kwargs` are the request's `mm_processor_kwargs`. Raises RequestError."""
        told = self._told(kwargs or {})
        if not parts:
            return []
        if told is None:
            raise RequestError("an image was sent, but this is not a multimodal model", "messages")
        if len(parts) > self._bounds.images:
            raise RequestError(
                f"{len(parts)} images were sent; at most {self._bounds.images} are read "
                "(--limit-mm-per-prompt)",
                "messages",
            )
        images: list[SizedImage] = []
        left = self._bounds.bytes
        for number, part in enumerate(parts, 1):
            try:
                images.append(await self._one(part.url, left, told))
            except ImageError as error:
                raise RequestError(f"image {number} is refused: {error}", "messages") from error
            left -= len(images[-1].data)
        return images

    def _told(self, kwargs: Mapping[str, Any]) -> ImageRules | None:
        param = "mm_processor_kwargs"
        if not kwargs:
            return self.rules
        if self.rules is None:
            raise RequestError("this is not a multimodal model, which is what these are for", param)
        if not self._trusts_kwargs:
            raise RequestError(
                "this server does not let requests set them; it would with "
                "--trust-request-mm-kwargs",
                param,
            )
        try:
            return self.rules.told(kwargs)
        except ImageError as error:
            raise RequestError(str(error), param) from error

    async def _one(self, url: str, most_bytes: int, told: ImageRules) -> SizedImage:
        read: Callable[[], tuple[str, bytes]]
        if url[:5].lower() == "data:":

            def read() -> tuple[str, bytes]:
                return decode_data_url(url, most_bytes)

        else:
            fetched = await self._fetcher.fetch(url, most_bytes)

            def read() -> tuple[str, bytes]:
                return fetched

        return await asyncio.to_thread(self._sized, read, told)

    def _sized(self, read: Callable[[], tuple[str, bytes]], told: ImageRules) -> SizedImage:
        """On a thread: base64 and digests of megabytes take milliseconds."""
        from baton.images.image_file import read_header  # the extra `vision`; checked at the start

        assert self.rules is not None
        declared, data = read()
        header = read_header(data, self._bounds.pixels)
        declared = _ALIASES.get(declared, declared)
        if declared not in _NO_TYPE and declared != header.mime:
            raise ImageError(f"it is said to be {declared}, but it is {header.mime}")
        rows, columns = told.grid(header.width, header.height)
        processing = self.rules.processing(told)
        return SizedImage(data, image_digest(data, processing), rows, columns, processing)
