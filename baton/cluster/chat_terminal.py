"""`baton chat` as people see it: a prompt, answers as they come, a few commands."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from baton.cluster.conversation import Conversation
from baton.core.errors import BatonError

PROMPT = "> "
HELP = """\
/clear   forget the conversation
/help    this list
/exit    leave, as Ctrl-D does
Ctrl-C   stop the answer"""


@dataclass(frozen=True, slots=True)
class ChatTerminal:
    """`read_line` gets the prompt and raises EOFError at the end; `write` shows text at once."""

    conversation: Conversation
    read_line: Callable[[str], str]
    write: Callable[[str], None]
    complain: Callable[[str], None]

    def run(self) -> None:
        """Until Ctrl-D or /exit."""
        while True:
            try:
                line = self.read_line(PROMPT).strip()
            except EOFError:
                self.write("\n")
                return
            except KeyboardInterrupt:
                self.write("\n(Ctrl-D leaves)\n")
                continue
            if line == "/exit":
                return
            if line.startswith("/"):
                self._command(line)
            elif line:
                self._turn(line)

    def _command(self, line: str) -> None:
        if line == "/clear":
            self.conversation.clear()
            self.write("(forgotten)\n")
        elif line == "/help":
            self.write(HELP + "\n")
        else:
            self.write(f"{line.split()[0]} is no command; /help lists them\n")

    def _turn(self, question: str) -> None:
        try:
            with closing(self.conversation.ask(question)) as pieces:
                for piece in pieces:
                    self.write(piece)
        except KeyboardInterrupt:
            self.write("\n(stopped)\n")
        except BatonError as error:
            self.write("\n")
            self.complain(f"Error: {error}")
        else:
            self.write("\n(cut off for its length)\n" if self.conversation.cut_off else "\n")
