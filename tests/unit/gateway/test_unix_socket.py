"""A path to listen on: taken, left behind, or something else."""

import socket
from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from gateway.http.http_server import url_of
from gateway.http.unix_socket import unix_listener


def test_the_file_is_there_while_it_listens_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "b.sock"
    with unix_listener(str(path), 5) as listener:
        assert url_of(listener) == f"unix:{path}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))
    assert not path.exists()


def test_what_a_killed_process_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "b.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    assert path.exists()
    with unix_listener(str(path), 5):
        assert path.exists()


def test_a_path_that_is_taken_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "b.sock"
    with (
        unix_listener(str(path), 5),
        pytest.raises(SettingsError, match="somebody listens there already"),
        unix_listener(str(path), 5),
    ):
        pass
    file = tmp_path / "notes"
    file.write_text("mine")
    with pytest.raises(SettingsError, match="is no socket"), unix_listener(str(file), 5):
        pass
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("path", "sentence"), [("/no/such/b.sock", "No such file"), ("/tmp/" + "x" * 200, "too long")]
)
def test_a_path_that_cannot_be_is_one_sentence(path: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence), unix_listener(path, 5):
        pass


def test_a_successor_keeps_its_file(tmp_path: Path) -> None:
    path = tmp_path / "b.sock"
    with unix_listener(str(path), 5):
        path.unlink()
        path.touch()
    assert path.exists()
