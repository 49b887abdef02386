"""What `baton up` refuses before it starts anything."""

from pathlib import Path
from typing import Any

import pytest

from baton.cluster.up_settings import UpSettings
from baton.core.errors import SettingsError
from baton.worker.settings import WorkerSettings


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("prefill_workers", -1, "--prefill-workers must be at least 0, not -1"),
        ("decode_workers", 0, "--decode-workers must be at least 1, not 0"),
        ("port", 65536, "--port must be between 0 and 65535"),
        ("max_num_seqs", 0, "--max-num-seqs must be at least 1"),
        ("max_model_len", -5, "--max-model-len must be at least 1"),
        ("threads", 0, "--threads must be at least 1"),
        ("block_size", 24, "--block-size must be a multiple of 16, not 24"),
        ("block_size", 0, "--block-size must be a multiple of 16, not 0"),
        ("start_seconds", float("nan"), "--start-seconds must be a positive number"),
        ("model", "/no/such/folder", "there is no such folder"),
        ("model", __file__, "is a file, give its folder"),
    ],
)
def test_a_wrong_value_is_one_sentence(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        UpSettings(**{field: value})


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no config\.json"):
        UpSettings(model=str(tmp_path))


def test_a_cluster_may_do_without_prefill_workers() -> None:
    assert UpSettings(prefill_workers=0).num_workers == 1


def test_a_worker_is_told_only_what_was_given() -> None:
    tuning = UpSettings(max_num_seqs=4, host="0.0.0.0", port=9).tuning(WorkerSettings)
    assert tuning == {"max_num_seqs": 4, "log_level": "warning", "log_format": "auto"}
