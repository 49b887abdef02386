"""A grammar's text -> a matcher at its beginning, or a sentence why not."""

import re

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from baton.core.errors import RequestError

# The same for gateway and workers, so that what one accepts the other can use. The size keeps
# compiling below about a second: its time grows with the square.
LIMITS = LLParserLimits(max_grammar_size=20_000, verbose_errors=False)
NOTHING = "no text satisfies it"
LONGEST_REASON = 400  # characters of llguidance's own words
_SCHEMA = "failed to compile JSON schema: "
_LINES = re.compile(r"\n +1 \| ")  # the first of those that are shown
_NOISE = ("<state>", "<backtrace>", "<non-verbose")


def compile_grammar(text: str, tokens: LLTokenizer) -> LLMatcher:
    """Copies of it are cheap and share what is compiled. Raises RequestError."""
    matcher = LLMatcher(tokens, text, log_level=0, limits=LIMITS)
    allowed = matcher.compute_bitmask()  # some faults show only now
    if matcher.is_error():
        raise RequestError(f"the grammar cannot be used: {reason_of(matcher)}")
    if not matcher.is_accepting() and not any_but(allowed, tokens.eos_tokens):
        raise RequestError(f"the grammar cannot be used: {NOTHING}")
    return matcher


def reason_of(matcher: LLMatcher) -> str:
    """What went wrong, without the parser's insides. What is wrong with a JSON schema is said by its
    words; the lines of the grammar that it stands in are none of the client's.
    """
    words = matcher.get_error()
    _, said, of_schema = words.partition(_SCHEMA)
    if said:
        words = said + _LINES.split(of_schema)[0]
    if words.startswith("panic"):
        return "it is too large"
    if words.startswith("NoExtension"):
        return NOTHING
    for noise in _NOISE:
        words = words.partition(noise)[0]
    return words.strip()[:LONGEST_REASON] or NOTHING


def any_but(bits: bytes, token_ids: list[int]) -> bool:
    """Whether a bit is set, bit i of byte i // 8 being token i's, other than those of `token_ids`."""
    left = bytearray(bits)
    for token_id in token_ids:
        left[token_id // 8] &= ~(1 << token_id % 8) & 0xFF
    return any(left)
