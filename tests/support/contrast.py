"""How well text stands out from what is behind it, as WCAG counts it."""

import re
from collections.abc import Iterable

from playwright.async_api import Page

# The nearest background that is not transparent.
_COLOURS = """
node => {
  let behind = node;
  while (behind.parentElement && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  return [getComputedStyle(node).color, getComputedStyle(behind).backgroundColor];
}
"""


async def contrasts(page: Page, selectors: Iterable[str]) -> list[tuple[str, float]]:
    """Of the first element of each; 1 is none, 21 is black on white."""
    found = []
    for selector in selectors:
        front, back = await page.locator(selector).first.evaluate(_COLOURS)
        lighter, darker = sorted((_luminance(front), _luminance(back)), reverse=True)
        found.append((selector, (lighter + 0.05) / (darker + 0.05)))
    return found


def _luminance(colour: str) -> float:
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
