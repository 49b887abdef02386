"""A click command that takes flags as vLLM does: several values behind one, `_` for `-`."""

from typing import Any

import click


class SettingsCommand(click.Command):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("token_normalize_func", _dashed)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        several = {
            flag
            for param in self.params
            if isinstance(param, click.Option) and param.multiple
            for flag in param.opts
        }
        return super().parse_args(ctx, _repeated(args, several))


def _dashed(token: str) -> str:
    return token.replace("_", "-")


def _repeated(args: list[str], several: set[str]) -> list[str]:
    """`--flag a b` becomes `--flag a --flag b`."""
    words: list[str] = []
    flag: str | None = None  # whose values are being read
    first = False
    for place, word in enumerate(args):
        if word == "--":
            return words + args[place:]
        if flag is not None and (first or not word.startswith("-")):
            words += [word] if first else [flag, word]
            first = False
            continue
        flag = word if _dashed(word) in several else None
        first = flag is not None
        words.append(word)
    return words
