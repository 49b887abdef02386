"""Messages become a prompt by the model's own template."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from baton.core.errors import RequestError, SettingsError
from gateway.limits import Limits
from gateway.prompts.chat_template import ChatTemplates, parse_template
from gateway.prompts.content_format import ContentFormat
from gateway.prompts.rendering import template_entry
from gateway.prompts.tokenizer import LONG_TEXT, ChatTokenizer, load_tokenizer, vocab_size_of
from gateway.schema.message import Message
from tests.support.gateway_rendering import chat_prompt
from tests.support.gateway_tokenizer import (
    END_OF_TURN,
    SPECIALS,
    TURNS,
    make_gemma_tokenizer_folder,
    make_tokenizer_folder,
)

LIMITS = Limits(max_model_len=100_000, vocab_size=512)


def user(content: str | list[str]) -> Message:
    return Message.model_validate({"role": "user", "content": content})


async def test_a_chat_is_rendered_and_tokenised(tokenizer: ChatTokenizer) -> None:
    ids = await chat_prompt(tokenizer, [user("hello world")], LIMITS)
    assert ids[0] == 1
    assert ids.count(END_OF_TURN) == 1
    text = b"".join(map(tokenizer.vocabulary.bytes_of, ids)).decode()
    assert text == "user\nhello world\nassistant\n"


async def test_a_long_chat_gives_the_same_tokens_from_a_thread(tokenizer: ChatTokenizer) -> None:
    text = "hello " * LONG_TEXT
    assert await tokenizer.tokens_of([text], LIMITS) == [tokenizer._encode(text, True)]
    rendered = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    assert await chat_prompt(tokenizer, [user(text)], LIMITS) == tokenizer._encode(rendered, False)


def test_the_digest_is_that_of_the_file(tokenizer: ChatTokenizer, tokenizer_folder: Path) -> None:
    content = (tokenizer_folder / "tokenizer.json").read_bytes()
    assert tokenizer.digest == hashlib.sha256(content).hexdigest()


def test_the_models_vocabulary_counts_where_it_is_larger(
    tokenizer: ChatTokenizer, tokenizer_folder: Path, tmp_path: Path
) -> None:
    assert vocab_size_of(tokenizer_folder, tokenizer.vocabulary) == 512
    assert vocab_size_of(tmp_path, tokenizer.vocabulary) == len(tokenizer.vocabulary)


async def test_a_template_that_refuses_is_the_requests_fault(tmp_path: Path) -> None:
    folder = make_tokenizer_folder(tmp_path, "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(RequestError, match="roles must alternate") as caught:
        await chat_prompt(load_tokenizer(folder), [user("hi")], LIMITS)
    assert caught.value.param == "messages"


async def test_without_a_template_there_is_no_chat(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_tokenizer_folder(tmp_path, None))
    assert await tokenizer.tokens_of(["hello"], LIMITS)
    with pytest.raises(RequestError, match="no chat template"):
        await chat_prompt(tokenizer, [user("hi")], LIMITS)


def test_a_folder_without_tokenizer_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("template", "format"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", ContentFormat.STRING),
        ("{% for p in m['content'] %}{% endfor %}", ContentFormat.PARTS),
        ("{% for p in m.content | list %}{% endfor %}", ContentFormat.PARTS),
        (
            "{% for m in messages %}{% for p in content %}{% endfor %}{% endfor %}",
            ContentFormat.PARTS,
        ),
        ("{% generation %}{{ x }}{% endgeneration %}", ContentFormat.STRING),
    ],
)
def test_a_template_tells_how_it_wants_content(template: str, format: ContentFormat) -> None:
    assert parse_template(template).format is format


def test_a_template_that_does_not_parse_stops_the_start() -> None:
    with pytest.raises(SettingsError):
        ChatTemplates("{% for %}")


def test_texts_are_joined_by_lines_or_given_as_parts() -> None:
    message = user(["a", "b"])
    assert template_entry(message, ContentFormat.STRING)["content"] == "a\nb"
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert template_entry(message, ContentFormat.PARTS)["content"] == parts
    assert template_entry(user("a"), ContentFormat.PARTS)["content"] == parts[:1]


def test_reasoning_goes_by_both_names() -> None:
    message = Message.model_validate({"role": "assistant", "reasoning": "hm", "name": "x"})
    assert template_entry(message, ContentFormat.STRING) == {
        "role": "assistant",
        "content": "",
        "name": "x",
        "reasoning": "hm",
        "reasoning_content": "hm",
    }


async def test_a_text_that_cannot_fit_is_refused_before_it_is_tokenised(
    tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(text: str, add_added_tokens: bool) -> list[int]:
        raise AssertionError("it was tokenised")

    monkeypatch.setattr(tokenizer, "_encode", never)
    limits, text = Limits(max_model_len=100, vocab_size=512), "hello " * 100_000
    with pytest.raises(RequestError, match="at least") as refused:
        await chat_prompt(tokenizer, [user(text)], limits)
    assert refused.value.param == "messages"
    with pytest.raises(RequestError, match="at least") as refused:
        await tokenizer.tokens_of(["a", text], limits)
    assert refused.value.param == "prompt"
    with pytest.raises(RequestError, match="at least 100 "):
        await chat_prompt(tokenizer, [user("")] * 100, limits)


async def test_the_event_loop_runs_on_while_a_long_text_is_tokenised(
    tokenizer: ChatTokenizer,
) -> None:
    """The time the loop loses is compared with the time the work takes, so that neither a slow
    nor a fast machine decides.
    """
    loop = asyncio.get_running_loop()
    limits = Limits(max_model_len=10**9, vocab_size=512)
    begin = latest = loop.time()
    longest = 0.0
    work = asyncio.create_task(tokenizer.tokens_of(["hello world " * 100_000], limits))
    while not work.done():
        await asyncio.wait({work}, timeout=0.001)
        longest, latest = max(longest, loop.time() - latest), loop.time()
    assert longest < (loop.time() - begin) / 2


GEMMA = {
    "tokenizer_class": "GemmaTokenizer",
    "bos_token": "<bos>",
    "eos_token": {"__type": "AddedToken", "content": "<eos>", "special": True},
    "add_bos_token": True,
    "extra_added_tokens": {"turn_token": "<start_of_turn>"},
}
NAMED = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": TURNS}]


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config.json": GEMMA, "chat_template.jinja": TURNS},
        {"tokenizer_config.json": {**GEMMA, "chat_template": TURNS}},
        {"tokenizer_config.json": {**GEMMA, "chat_template": NAMED}},
    ],
    ids=["file", "config", "named"],
)
async def test_a_template_that_begins_the_sequence_begins_it_once_wherever_it_stands(
    tmp_path: Path, files: dict[str, object]
) -> None:
    tokenizer = load_tokenizer(make_gemma_tokenizer_folder(tmp_path / "gemma", files))

    chat = await chat_prompt(tokenizer, [user(" hi \u00e9 ")], LIMITS)
    [plain] = await tokenizer.tokens_of(["hi \u00e9"], LIMITS)

    assert (chat[:2], chat.count(2)) == ([2, 4], 1)
    assert (plain[0], plain.count(2)) == (2, 1)
    text = b"".join(map(tokenizer.vocabulary.bytes_of, chat)).decode()
    assert text == "user\nhi \u00e9\nmodel\n"


def test_added_tokens_are_known_by_their_text(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.added_tokens == {text: number for number, text in enumerate(SPECIALS)}
