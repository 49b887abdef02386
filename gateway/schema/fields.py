"""Which names the chat contract knows. A field acts, is refused by name, or is foreign to it."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Fields of the contract that this version does not act on yet: refused with their name.
LATER = _names(
    """
    add_generation_prompt add_special_tokens chat_template chat_template_kwargs
    continue_final_message documents echo include_reasoning include_stop_str_in_output
    kv_transfer_params length_penalty logprobs messages mm_processor_kwargs parallel_tool_calls
    priority prompt_logprobs reasoning_effort request_id response_format
    return_tokens_as_token_ids skip_special_tokens spaces_between_special_tokens stop
    structured_outputs tool_choice tools top_logprobs truncate_prompt_tokens use_beam_search user
    """
)

# Of the completions endpoint alone.
LATER_IN_COMPLETIONS = frozenset({"prompt_embeds", "suffix"})

# Not in the contract, but they change the text: ignoring one would be a lie.
DANGEROUS = _names(
    """
    guided_choice guided_decoding_backend guided_grammar guided_json guided_regex
    guided_whitespace_pattern logprob_token_ids repetition_detection structural_tag
    thinking_token_budget truncation_side
    """
)

REFUSED = LATER | LATER_IN_COMPLETIONS | DANGEROUS
