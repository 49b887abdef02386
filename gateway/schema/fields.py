"""Which names the chat contract knows. A field acts, is refused by name, or is foreign to it."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Fields of the contract that this version does not act on yet: refused with their name.
LATER = _names(
    """
    add_generation_prompt add_special_tokens allowed_token_ids bad_words chat_template
    chat_template_kwargs continue_final_message documents echo frequency_penalty
    include_reasoning include_stop_str_in_output kv_transfer_params length_penalty logit_bias
    logits_processors logprobs messages min_p min_tokens mm_processor_kwargs parallel_tool_calls
    presence_penalty priority prompt_logprobs reasoning_effort repetition_penalty request_id
    return_tokens_as_token_ids skip_special_tokens spaces_between_special_tokens
    stop stop_token_ids tool_choice tools top_logprobs truncate_prompt_tokens
    use_beam_search user vllm_xargs
    """
)

# Of the completions endpoint alone.
LATER_IN_COMPLETIONS = frozenset({"prompt_embeds", "suffix"})

# Not in the contract, but they change the text: ignoring one would be a lie.
DANGEROUS = _names(
    """
    logprob_token_ids repetition_detection thinking_token_budget truncation_side
    """
)

REFUSED = LATER | LATER_IN_COMPLETIONS | DANGEROUS
