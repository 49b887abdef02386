"""How much memory a worker takes beyond what it cannot do without, and whether that grows.

python -m benchmarks.memory --requests 2000
"""

import asyncio
import json
import secrets
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from baton.cluster.http_stream import ServerError, request
from baton.model_source.weight_files import weight_files
from benchmarks.load import first_model, make_bodies, run
from benchmarks.processes import cluster, folder_of
from benchmarks.prompts import Shape
from benchmarks.report import Progress

MIB = 1 << 20
ALLOWANCE = 300 * MIB  # beyond weights, pool and imports
GROWTH = 16 * MIB  # that the allocator may keep; a request that leaked 16 KiB would show
OUTPUT = 16  # tokens
PATIENCE = 120.0  # seconds for one request
# Its share of what it maps, told while workers run: libraries are shared with them.
_IMPORT = """
import torch, transformers
from transformers import AutoModelForCausalLM, PreTrainedModel
lines = open("/proc/self/smaps_rollup").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("Pss:")))
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One worker, bytes."""

    worker: str
    pss: int  # after all requests
    weights: int
    pool: int  # its part of the pools that it maps: its own, and its peers' that it reads
    imports: int
    growth: int  # of what is its alone and no file's, behind the first tenth of the requests

    @property
    def beyond(self) -> int:
        return self.pss - self.weights - self.pool - self.imports


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Left out: tiny.")
@click.option("--requests", default=2000, show_default=True, type=click.IntRange(10))
@click.option("--input-len", default=200, show_default=True, type=click.IntRange(1))
@click.option("--concurrency", default=8, show_default=True, type=click.IntRange(1))
@click.option("--pool", default=256, show_default=True, type=click.IntRange(1), help="MiB each.")
@click.option("--token-ids", nargs=2, type=int, default=(300, 4000), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def main(
    model: Path | None,
    requests: int,
    input_len: int,
    concurrency: int,
    pool: int,
    token_ids: tuple[int, int],
    as_json: bool,
) -> None:
    """Exit code 1: a worker takes more than it should, or grows."""
    shape = Shape("completions", input_len, OUTPUT, token_ids)
    try:
        with folder_of(model) as folder:
            weights = sum(path.stat().st_size for path in weight_files(folder))
            words = [f"--model={folder}", f"--kv-cache-memory-bytes={pool}MiB"]
            with cluster(words) as url:
                rows = asyncio.run(measured(url, shape, requests, concurrency, weights))
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"rows": [{**asdict(r), "beyond": r.beyond} for r in rows]}))
    else:
        show(rows, requests)
    sys.exit(0 if all(r.beyond <= ALLOWANCE and r.growth <= GROWTH for r in rows) else 1)


async def measured(
    url: str, shape: Shape, requests: int, concurrency: int, weights: int
) -> list[Row]:
    model = await first_model(url)
    bodies = make_bodies(shape, model, requests, secrets.randbits(32))
    progress = Progress("requests", requests)

    async def ask(count: int) -> None:
        asked, bodies[:count] = bodies[:count], []
        samples = await run(url, asked, shape, concurrency, PATIENCE, progress.tick)
        failed = [sample.error for sample in samples if sample.error]
        if failed:
            raise ServerError(f"{len(failed)} requests failed, such as: {failed[0]}")

    await ask(max(1, requests // 10))
    fresh = {name: memory(pid, "Pss_Anon") for name, pid in (await workers(url)).items()}
    await ask(len(bodies))
    imports = imported()
    return [
        Row(
            worker=name,
            pss=memory(pid, "Pss"),
            weights=weights,
            pool=memory(pid, "Pss_Shmem"),
            imports=imports,
            growth=memory(pid, "Pss_Anon") - fresh[name],
        )
        for name, pid in (await workers(url)).items()
    ]


async def workers(url: str) -> dict[str, int]:
    """Process numbers by name."""
    async with request(f"{url}/status") as lines:
        told = json.loads(b"\n".join([line async for line in lines]))
    return {worker["id"]: worker["pid"] for worker in told["workers"]}


def memory(pid: int, kind: str) -> int:
    """Bytes. Pss: what a process maps alone, and its share of what it maps with others. Pss_Anon: of
    that without files and the pool, whose pages come as they are first used.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) * 1024


def imported() -> int:
    """Bytes of PSS of a process that has done nothing but import."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT], check=True, capture_output=True, text=True
    )
    return int(done.stdout) * 1024


def show(rows: list[Row], requests: int) -> None:
    for row in rows:
        click.echo(
            f"{row.worker}: PSS {row.pss / MIB:.0f} MiB = weights {row.weights / MIB:.0f} + pool "
            f"{row.pool / MIB:.0f} + imports {row.imports / MIB:.0f} + {row.beyond / MIB:.0f} "
            f"(at most {ALLOWANCE / MIB:.0f}); {row.growth / MIB:+.1f} MiB in the last "
            f"{requests - requests // 10} requests (at most {GROWTH / MIB:.0f})"
        )


if __name__ == "__main__":
    main()
