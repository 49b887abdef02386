"""Model folders are written whole or not at all."""

from pathlib import Path

import pytest

from baton.cluster.model_folder import write_model
from baton.core.errors import SettingsError


def is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def make(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text("{}")


def test_a_model_is_written_into_a_new_folder(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    write_model(out, False, make)
    assert is_model(out)
    assert [p.name for p in out.parent.iterdir()] == ["model"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    write_model(tmp_path, False, make)
    assert is_model(tmp_path)


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(SettingsError, match="not empty; --force"):
        write_model(tmp_path, False, make)
    assert not is_model(tmp_path)


def test_force_replaces_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "notes").touch()
    write_model(out, True, make)
    assert [p.name for p in out.iterdir()] == ["config.json"]


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "model"
    write_model(out, False, make)

    def fail(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_model(out, True, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert is_model(out)


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "model"

    def overtaken(folder: Path) -> None:
        make(folder)
        out.mkdir()
        (out / "theirs").touch()

    with pytest.raises(SettingsError, match="cannot write"):
        write_model(out, False, overtaken)
    assert [p.name for p in out.iterdir()] == ["theirs"]
