"""Readers of what a model writes beside plain text: its reasoning and its tool calls.

Each parser is one incremental machine, used for streams and for whole answers alike. It is fed the
text of one token at a time and never takes anything back.
"""
