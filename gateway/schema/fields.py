"""Which names the chat contract knows. A field acts, is refused by name, or is foreign to it."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Fields of the contract that this version does not act on yet: refused with their name.
LATER = _names(
    """
    add_generation_prompt add_special_tokens allowed_token_ids bad_words chat_template
    chat_template_kwargs continue_final_message documents frequency_penalty
    kv_transfer_params length_penalty logit_bias logits_processors messages min_p min_tokens
    mm_processor_kwargs parallel_tool_calls presence_penalty priority reasoning_effort
    repetition_penalty request_id response_format stop_token_ids structured_outputs tool_choice
    tools truncate_prompt_tokens use_beam_search user vllm_xargs
    """
)

# Of the completions endpoint alone; the last two act in chats.
LATER_IN_COMPLETIONS = frozenset({"prompt_embeds", "suffix", "top_logprobs", "include_reasoning"})

# Not in the contract, but they change the text: ignoring one would be a lie.
DANGEROUS = _names(
    """
    guided_choice guided_decoding_backend guided_grammar guided_json guided_regex
    guided_whitespace_pattern logprob_token_ids repetition_detection structural_tag
    thinking_token_budget truncation_side
    """
)

REFUSED = LATER | LATER_IN_COMPLETIONS | DANGEROUS
