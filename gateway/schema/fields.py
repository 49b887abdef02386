"""Which names the chat contract knows. A field acts, is refused by name, or is foreign to it."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Of chats alone: a plain prompt that asked for one would be answered without it.
OF_CHATS = _names(
    """
    add_generation_prompt chat_template chat_template_kwargs continue_final_message documents
    include_reasoning messages mm_processor_kwargs parallel_tool_calls reasoning_effort tool_choice
    tools top_logprobs
    """
)

# Of the completions endpoint of other servers.
OF_OTHER_COMPLETIONS = frozenset({"prompt_embeds", "suffix"})

# Not in the contract, but they change the text: ignoring one would be a lie.
DANGEROUS = _names(
    """
    logprob_token_ids repetition_detection thinking_token_budget truncation_side
    """
)
