"""Bodies of chat requests as a hostile or a careless client sends them: a right one, changed."""

import json
from typing import Any

from hypothesis import strategies as st

from gateway.schema.chat import ChatCompletionRequest

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "you"}]},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    },
}

# What a client might well send, right or nearly so: a field alone is seldom where things break.
LIKELY: dict[str, list[Any]] = {
    "messages": [MESSAGES, [], [{}], [{"role": "tool", "content": "1", "tool_call_id": "a"}]],
    "n": [1, 2, 3, 0, "2"],
    "stream": [True, False, "yes"],
    "stream_options": [{"include_usage": True}, {}, {"continuous_usage_stats": True}, []],
    "temperature": [0, 0.7, 2, 1e-6, -1, "0.5"],
    "top_p": [0.1, 1, 0, 1.5],
    "top_k": [-1, 0, 1, 5, 10**9],
    "min_p": [0, 0.5, 1, 2],
    "seed": [0, -1, 2**63 - 1, 2**63],
    "max_tokens": [1, 5, 0, 10**6],
    "min_tokens": [0, 2, 100],
    "stop": ["a", ["a", "bc"], "", [""], [1], None],
    "stop_token_ids": [[1, 2], [], [10**9], [-1], "1"],
    "logprobs": [True, False, 1, None],
    "top_logprobs": [0, 3, 21, -1, "2", None],
    "prompt_logprobs": [0, 2, -1, -2],
    "logit_bias": [{"5": 1}, {"5": 1e9}, {"x": 1}, {"-1": 0}, {}, []],
    "allowed_token_ids": [[5, 6], [], [10**9]],
    "bad_words": [["hi"], [""], None, "hi"],
    "frequency_penalty": [0.5, -2, 3],
    "presence_penalty": [0.5, -2, 3],
    "repetition_penalty": [1.1, 0, -1, 1e300],
    "tools": [[TOOL], [], [{}], [{**TOOL, "type": "x"}], [TOOL, TOOL]],
    "tool_choice": [
        *("none", "auto", "required", "x"),
        {"type": "function", "function": {"name": "look"}},
        {"type": "function", "function": {"name": "other"}},
        {"type": "function"},
    ],
    "parallel_tool_calls": [True, False],
    "response_format": [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "integer"}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "no type"}}},
        {"type": "structural_tag", "structures": [], "triggers": []},
        {"type": "x"},
    ],
    "structured_outputs": [
        *({"choice": ["a", "b"]}, {"choice": []}, {"regex": "[ab]+"}, {"regex": "("}),
        *({"grammar": 'root ::= "a"'}, {"grammar": ""}, {"json": "{}"}, {"json": "{"}),
        *({"json_object": True}, {"regex": "a", "choice": ["b"]}, {}, {"structural_tag": "{}"}),
    ],
    "guided_json": [{"type": "integer"}, "x"],
    "guided_regex": ["a+", "("],
    "use_beam_search": [True, False],
    "length_penalty": [0, 1, 2.5],
    "echo": [True, False],
    "add_generation_prompt": [True, False],
    "continue_final_message": [True, False],
    "add_special_tokens": [True],
    "documents": [[{"title": "a", "text": "b"}], [{"a": 1}], [], {}],
    "chat_template": ["{{ messages }}", "{% for x in range(10**9) %}{% endfor %}", "{{"],
    "chat_template_kwargs": [{"enable_thinking": True}, {"tokenize": True}, {"messages": 1}, []],
    "truncate_prompt_tokens": [1, 5, -1, 0, -2, 10**9],
    "skip_special_tokens": [True, False],
    "include_stop_str_in_output": [True],
    "ignore_eos": [True],
    "reasoning_effort": ["low", "none", "x"],
    "include_reasoning": [True, False],
    "priority": [0, 1, -5, 2**63],
    "request_id": ["a", "", "a" * 10_000, "\n"],
    "cache_salt": ["a", "", "/"],
    "return_token_ids": [True],
    "return_tokens_as_token_ids": [True],
    "kv_transfer_params": [{}, {"do_remote_decode": True, "do_remote_prefill": True}, []],
    "vllm_xargs": [{"a": 1}, {"a": {}}, {"a": [1]}],
    "logits_processors": [["os.system"], [{"qualname": "os.system"}], []],
    "mm_processor_kwargs": [{}, {"a": 1}],
    "user": ["me", 5],
    "model": [None, "", "other"],
}

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\ud83d", "\0", "1e999", "{{ 7 * 7 }}", "<|im_end|>", "a" * 3000])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
_NAMES = sorted({*ChatCompletionRequest.model_fields, *LIKELY})


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON, mostly: a right body with some fields likely, some odd, and now and then torn bytes."""
    body: dict[str, Any] = {"messages": MESSAGES}
    for name in draw(st.lists(st.sampled_from(_NAMES), max_size=6, unique=True)):
        likely = LIKELY.get(name)
        odd = likely is None or draw(st.integers(0, 3)) == 0
        body[name] = draw(_VALUES if odd or likely is None else st.sampled_from(likely))
    text = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)):
        return text
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.binary(max_size=3)) + text[at + draw(st.integers(0, 3)) :]
