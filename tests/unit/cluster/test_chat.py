"""A chat in the terminal, over a scripted endpoint."""

from collections.abc import Callable, Generator, Mapping
from typing import Any

import pytest

from baton.cluster.chat_terminal import ChatTerminal
from baton.cluster.conversation import ChatOptions, Conversation
from baton.core.errors import UnavailableError

Script = list[str | BaseException]


class FakeEndpoint:
    """Answers each turn with the next script: pieces of text, or an error to raise."""

    def __init__(self, *scripts: Script, finish: str = "stop") -> None:
        self.bodies: list[dict[str, Any]] = []
        self.open = 0
        self._scripts = iter(scripts)
        self._finish = finish

    def events(self, path: str, body: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        assert path == "/v1/chat/completions"
        self.bodies.append(dict(body))
        self.open += 1
        try:
            yield event({"role": "assistant", "content": ""})
            for item in next(self._scripts):
                if isinstance(item, BaseException):
                    raise item
                yield event({"content": item})
            yield event({}, self._finish)
            yield {"choices": [], "usage": {}}
        finally:
            self.open -= 1


def event(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def typed(*lines: str | BaseException) -> Callable[[str], str]:
    left = iter(lines)

    def read(prompt: str) -> str:
        line = next(left, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    return read


def run(endpoint: FakeEndpoint, *lines: str | BaseException) -> tuple[str, list[str]]:
    """What was shown, and the complaints."""
    shown: list[str] = []
    complaints: list[str] = []
    conversation = Conversation(endpoint, ChatOptions())
    ChatTerminal(conversation, typed(*lines), shown.append, complaints.append).run()
    assert endpoint.open == 0
    return "".join(shown), complaints


def test_a_turn_brings_all_turns_before_it() -> None:
    endpoint = FakeEndpoint(["Hel", "lo"], ["Bye"])
    shown, complaints = run(endpoint, "hi", "", "  ", " again ")
    assert shown == "Hello\nBye\n\n"
    assert not complaints
    assert [body["messages"] for body in endpoint.bodies] == [
        [user("hi")],
        [user("hi"), assistant("Hello"), user("again")],
    ]


def test_what_was_chosen_is_sent_and_nothing_else() -> None:
    endpoint = FakeEndpoint(["a"], ["b"])
    system = {"role": "system", "content": "Be brief."}
    chosen = Conversation(endpoint, ChatOptions("m", "Be brief.", 5, 0.0))
    assert "".join(chosen.ask("hi")) == "a"
    assert endpoint.bodies[0] == {
        "messages": [system, user("hi")],
        "stream": True,
        "model": "m",
        "max_tokens": 5,
        "temperature": 0.0,
    }
    chosen.clear()
    assert chosen.messages == [system]
    assert set(next_body(endpoint)) == {"messages", "stream"}


def next_body(endpoint: FakeEndpoint) -> dict[str, Any]:
    list(Conversation(endpoint, ChatOptions()).ask("x"))
    return endpoint.bodies[-1]


def test_clear_forgets_and_an_unknown_command_is_told() -> None:
    endpoint = FakeEndpoint(["a"], ["b"])
    shown, _ = run(endpoint, "one", "/clear", "/nope x", "/help", "two", "/exit", "never")
    assert endpoint.bodies[1]["messages"] == [user("two")]
    assert "(forgotten)" in shown
    assert "/nope is no command" in shown
    assert "/clear " in shown
    assert len(endpoint.bodies) == 2


def test_ctrl_c_stops_the_answer_and_keeps_what_was_said() -> None:
    endpoint = FakeEndpoint(["half", KeyboardInterrupt()], ["more"])
    shown, _ = run(endpoint, "hi", KeyboardInterrupt(), "go on")
    assert shown.startswith("half\n(stopped)\n\n(Ctrl-D leaves)\nmore")
    assert endpoint.bodies[1]["messages"] == [user("hi"), assistant("half"), user("go on")]


def test_a_failed_turn_is_told_and_the_next_one_goes_on() -> None:
    broken: Script = [UnavailableError("the answer broke off: gone")]
    endpoint = FakeEndpoint(broken, ["fine"])
    shown, complaints = run(endpoint, "hi", "again")
    assert complaints == ["Error: the answer broke off: gone"]
    assert shown == "\nfine\n\n"
    assert endpoint.bodies[1]["messages"] == [user("again")]


@pytest.mark.parametrize(("finish", "told"), [("length", True), ("stop", False)])
def test_an_answer_that_was_cut_off_says_so(finish: str, told: bool) -> None:
    shown, _ = run(FakeEndpoint(["a"], finish=finish), "hi")
    assert ("(cut off for its length)" in shown) is told
