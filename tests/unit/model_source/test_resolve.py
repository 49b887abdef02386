"""A folder is a folder; what cannot be a hub's name is never looked for there."""

from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from baton.model_source import HubSettings, Part, resolve, revision_of
from baton.settings import as_flags


def refused(model: str, hub: HubSettings | None = None) -> str:
    with pytest.raises(SettingsError) as error:
        resolve(model, hub or HubSettings(), Part.ALL, print)
    return str(error.value)


def test_a_folder_with_a_config_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    assert resolve(str(tmp_path), HubSettings(), Part.ALL, print) == tmp_path


def test_a_folder_without_is_no_model(tmp_path: Path) -> None:
    assert "holds no config.json" in refused(str(tmp_path))


def test_a_file_is_not_its_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "is a file, give its folder" in refused(str(tmp_path / "config.json"))


@pytest.mark.parametrize("model", ["/no/such", "./here", "../there", "a/b/c", "~/x", "a b"])
def test_what_is_no_name_of_a_hub_is_a_missing_folder(model: str) -> None:
    assert refused(model) == f"--model {model}: there is no such folder"


def test_a_revision_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "--revision v1 is for models of a hub" in refused(
        str(tmp_path), HubSettings(revision="v1")
    )


def test_only_the_snapshot_of_a_commit_has_a_revision() -> None:
    commit = "0123456789" * 4
    assert revision_of(Path("/cache/models--a--b/snapshots") / commit) == commit
    assert revision_of(Path("/cache") / commit) == ""
    assert revision_of(Path("/snapshots/main")) == ""


def test_the_token_is_neither_printed_nor_on_a_command_line() -> None:
    hub = HubSettings(hf_token="hf_secret", revision="v1")
    assert "hf_secret" not in repr(hub)
    assert as_flags(hub) == ["--revision", "v1"]
