"""`baton plan` with a trace: the fewest workers that the simulation holds with."""

import json
from pathlib import Path

from tests.support.baton_command import baton

TRACE = ("multi-turn:rate=20,seconds=10", "--profile=llama-8b-h100")


def test_it_says_which_sizes_it_tried_and_why_they_are_too_small(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    ran = baton("plan", *TRACE, "--slo-ttft-ms=400", "--slo-itl-ms=20", f"--json={file}")
    assert ran.exit_code == 0, ran.stderr
    said = json.loads(file.read_text())
    best = said["best"]
    rows = {(one["prefill"], one["decode"]): one for one in said["tried"]}
    chosen = rows[best["prefill"], best["decode"]]
    assert chosen["within"] >= 0.99
    smaller = [one for one in rows.values() if one["prefill"] + one["decode"] < sum(best.values())]
    assert smaller
    assert all(one["within"] < 0.99 and one["reason"] != "holds" for one in smaller)
    assert ran.stdout.splitlines()[-1].startswith(
        f"{best['prefill']} prefill + {best['decode']} decode: the fewest"
    )


def test_a_cluster_that_would_be_too_large_is_no_plan() -> None:
    ran = baton("plan", *TRACE, "--slo-itl-ms=1", "--max-workers=2")
    assert ran.exit_code == 1
    assert "no cluster of 2 workers holds; the closest" in ran.stdout
    assert "tokens come too slowly" in ran.stdout


def test_without_an_objective_there_is_nothing_to_plan() -> None:
    ran = baton("plan", *TRACE)
    assert ran.exit_code == 78
    assert "give --slo-ttft-ms or --slo-itl-ms" in ran.stderr


def test_a_plan_is_for_a_trace_or_for_a_cluster_that_runs() -> None:
    for words, complaint in (
        (("--slo-itl-ms=9",), "give a TRACE and --profile, or --live"),
        ((*TRACE, "--live", "--slo-itl-ms=9"), "--live has no TRACE"),
    ):
        ran = baton("plan", *words)
        assert ran.exit_code == 78
        assert complaint in ran.stderr
