"""The command, in processes whose strings hash differently."""

import asyncio
from pathlib import Path

from tests.support.baton_command import baton_process


async def test_the_same_seed_is_the_same_file_byte_for_byte(tmp_path: Path) -> None:
    made_up = "shared-prefix:rate=8,seconds=10,prefixes=5,spread=0.5"
    out = [tmp_path / "1.json", tmp_path / "2.json"]
    ran = await asyncio.gather(
        *(
            baton_process(
                *("simulate", made_up, "--prefill=3", "--decode=4", "--profile=llama-8b-h100"),
                *("--slo-ttft-ms=500", f"--json={file}"),
                env={"PYTHONHASHSEED": str(number)},
            )
            for number, file in enumerate(out, 1)
        )
    )
    assert [one.exit_code for one in ran] == [0, 0], ran[0].stderr
    assert "goodput" in ran[0].stdout
    assert out[0].read_bytes() == out[1].read_bytes()
