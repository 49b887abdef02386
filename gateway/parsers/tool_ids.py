"""Ids of tool calls."""

import secrets


class ToolIds:
    """vLLM's form."""

    def new_id(self) -> str:
        return f"chatcmpl-tool-{secrets.token_hex(16)}"
