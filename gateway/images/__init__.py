"""Images of a chat: where they come from, what is refused, and the tokens that stand for them."""
