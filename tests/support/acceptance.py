"""Which texts a grammar takes, by llguidance itself."""

from llguidance import LLTokenizer

from baton.grammars.compiled import compile_grammar


class Acceptance:
    def __init__(self, tokens: LLTokenizer) -> None:
        self.tokens = tokens

    def takes(self, grammar: str, text: str) -> bool:
        """Whether `text` is a whole answer."""
        matcher = compile_grammar(grammar, self.tokens)
        ids = self.tokens.tokenize_str(text)
        return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()

    def begins(self, grammar: str, text: str) -> bool:
        """Whether `text` can begin one."""
        ids = self.tokens.tokenize_str(text)
        return compile_grammar(grammar, self.tokens).try_consume_tokens(ids) == len(ids)
