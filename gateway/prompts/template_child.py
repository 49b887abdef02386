"""Renders one chat template that came with a request, in a process of its own: run by its path,
by `gateway/prompts/foreign_template.py`. One JSON object on stdin, one on stdout.

The sandbox keeps a template from everything but time and memory; those are the system's to bound.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

SECONDS = 1  # at least, of processor time
MEMORY = 256 << 20  # bytes, beside what the imports took
TOO_LARGE = "it needs too much memory"


def main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    longest = asked["longest"]
    _bound()
    try:
        rendered: Any = render_jinja_template(**asked["call"])
        text = rendered[0][0]
        answer = {"text": text} if len(text) <= longest else {"error": "it writes too much"}
    except MemoryError:
        answer = {"error": TOO_LARGE}
    except Exception as error:  # whatever a stranger's template does is told to the stranger
        answer = {"error": str(error) or type(error).__name__}
    json.dump(answer, sys.stdout)


def _bound() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    spent = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(spent.ru_utime + spent.ru_stime) + 1 + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
