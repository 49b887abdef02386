"""docs/settings.md, made of the settings themselves: `python -m baton.cluster.settings_page`."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import click

from baton.cluster.commands.chat import chat
from baton.cluster.commands.drain import drain
from baton.cluster.commands.flip import flip
from baton.cluster.commands.plan import plan
from baton.cluster.commands.planner import planner
from baton.cluster.commands.replay import replay
from baton.cluster.commands.simulate import simulate
from baton.cluster.commands.status import status
from baton.cluster.commands.tenants import put as tenants_put
from baton.cluster.up_settings import UpSettings
from baton.settings import Setting, settings_of
from baton.worker.settings import WorkerSettings
from gateway.settings import GatewaySettings

_HEAD = """\
# Settings

This page is made from the code: `make settings-page`.

Every flag has an environment variable and a key in the file of `--config`. A flag wins over its
variable, the variable over the file, the file over the default. A wrong value stops the start with
one sentence and exit code 78; a wrong command line with exit code 2.

- **Model**: `baton up MODEL` is `baton up --model MODEL`; so are `baton gateway`, `prefill`, `decode`.
- **Several values**: `--api-key a b` or `--api-key a --api-key b`; in a variable separated by commas
  or blanks, or as a JSON list.
- **Sizes**: `4294967296`, `4GiB`, `512M`. As in vLLM, `K M G T` are powers of 1024 and `k m g t`
  powers of 1000; `KiB ...` and `kB MB ...` say it outright.
- **Switches**: `--strict-fields` has its opposite, `--no-strict-fields`; a variable is `1` or `0`.
- **Underscores**: `--max_model_len` is `--max-model-len`.
- **Secrets** (API keys, the cluster's secret, a key's password): better in the variable or the file
  than on the command line, which everyone on the machine can read. `baton up` hands them to its
  processes by their environment alone, and nothing logs them.

## The file of --config

YAML, one `flag-name: value` per line, beneath flags and variables. A key that the command does not
have, a value of the wrong type and a key given twice stop the start; nothing is guessed.

```yaml
# cluster.yaml, for: baton up --config cluster.yaml
model: models/llama
served-model-name: [llama, my-llama]
prefill-workers: 2
decode-workers: 2
kv-cache-memory-bytes: 4GiB
api-key: ["key-of-team-a", "key-of-team-b"]
```

## API keys

With `--api-key` every path but `/health`, `/ping`, `/version`, `/metrics`, `/docs` and
`/openapi.json` wants `Authorization: Bearer KEY` and answers 401 without. Each key is a tenant:
requests of different keys never share a cached prefix. `baton status`, `drain`, `flip` and `chat` take the key
from `--api-key` or `BATON_API_KEY`.
"""


def page() -> str:
    gateway, worker = settings_of(GatewaySettings), settings_of(WorkerSettings)
    up = settings_of(UpSettings)
    taken = {one.name for one in up}
    elsewhere = {one.name for one in (*gateway, *worker)} - {
        spec.name for spec in fields(UpSettings)
    }
    own = [one for one in up if one.name not in elsewhere]
    parts = [
        _HEAD,
        "## baton up\n\nThese, and all flags of the gateway and the workers below without a †.\n",
        _table(own, taken),
        "## baton gateway\n\n† not with `baton up`, which decides it by itself.\n",
        _table(gateway, taken),
        "## baton prefill, baton decode, baton encode\n\n† not with `baton up`, which decides it by itself.\n",
        _table(worker, taken - {"host", "port"}),
        "## baton chat\n",
        _client_table(chat),
        "## baton status\n",
        _client_table(status),
        "## baton drain\n",
        _client_table(drain),
        "## baton flip\n",
        _client_table(flip),
        "## baton tenants put, list, remove\n",
        _client_table(tenants_put),
        "## baton replay\n",
        _client_table(replay),
        "## baton simulate\n",
        _client_table(simulate),
        "## baton plan\n",
        _client_table(plan),
        "## baton planner\n",
        _client_table(planner),
    ]
    return "\n".join(parts)


_TITLES = "| flag | variable | default | |\n|---|---|---|---|\n"


def _table(settings: Iterable[Setting], taken: set[str]) -> str:
    return _TITLES + "".join(_row(one, one.name in taken) for one in settings)


def _row(one: Setting, in_up: bool) -> str:
    text = one.help
    if one.choices:
        text += f" One of {', '.join(one.choices)}."
    flag = f"`{one.flag}`" + ("" if in_up else " †")
    variables = ", ".join(f"`{name}`" for name in one.variables)
    return _line(flag, variables, _default(one), text)


def _default(one: Setting) -> str:
    value = one.default
    if value in (None, "", ()):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{' '.join(value) if isinstance(value, tuple) else value}`"


def _client_table(command: click.Command) -> str:
    rows = [_client_row(one) for one in command.params if isinstance(one, click.Option)]
    return _TITLES + "".join(rows)


def _client_row(one: click.Option) -> str:
    variables = [one.envvar] if isinstance(one.envvar, str) else one.envvar or ()
    names = ", ".join(f"`{name}`" for name in variables)
    value = one.default
    told = isinstance(value, str | int | float) and not isinstance(value, bool)
    default: Any = value if told else ""
    return _line(f"`{one.opts[0]}`", names, f"`{default}`" if default else "", one.help or "")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    click.echo(page(), nl=False)
