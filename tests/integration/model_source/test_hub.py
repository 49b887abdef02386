"""A model named by its hub id: downloaded once, found again offline, and refused with a sentence."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

from baton.core.errors import SettingsError
from baton.model_source import HubSettings, Part, resolve, revision_of
from tests.support.fake_hub import COMMIT, MODEL, FakeHub, running_hub

TOKEN = "hf_secret"
WEIGHTS = "model-00001-of-00001.safetensors"
SMALL = ["chat_template.jinja", "config.json", "generation_config.json", "tokenizer.json"]
WANTED = [*SMALL, WEIGHTS, "model.safetensors.index.json"]
OTHERS = [
    "README.md",
    "consolidated.safetensors",
    "original/model.safetensors",
    "pytorch_model.bin",
]
NOBODY = "http://127.0.0.1:9"  # where nobody listens


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads its variables when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    folder = tmp_path / "held"
    for name in (*WANTED, *OTHERS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 1000)
    with running_hub(folder) as hub:
        point_to(hub.url, monkeypatch)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.fixture
def settings(tmp_path: Path) -> HubSettings:
    return HubSettings(download_dir=str(tmp_path / "cache"))


@pytest.fixture
def said() -> list[str]:
    return []


def files_of(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_model_is_downloaded_without_what_nobody_reads(
    hub: FakeHub, settings: HubSettings, said: list[str]
) -> None:
    folder = resolve(MODEL, settings, Part.ALL, said.append)

    assert files_of(folder) == sorted(WANTED)
    assert (folder / WEIGHTS).read_bytes() == WEIGHTS.encode() * 1000
    assert revision_of(folder) == COMMIT


def test_the_gateway_leaves_the_weights_where_they_are(
    hub: FakeHub, settings: HubSettings, said: list[str]
) -> None:
    assert files_of(resolve(MODEL, settings, Part.TEXT, said.append)) == SMALL


def test_the_progress_is_told_in_lines(
    hub: FakeHub, settings: HubSettings, said: list[str]
) -> None:
    resolve(MODEL, settings, Part.ALL, said.append)

    total = sum((hub.folder / name).stat().st_size for name in WANTED) / 1e6
    assert said[-1] == f"downloading {MODEL}: {total:.1f} of {total:.1f} MB"


def test_the_progress_is_told_where_others_want_no_bars(
    hub: FakeHub, settings: HubSettings, said: list[str]
) -> None:
    disable_progress_bars()  # as loading a model does
    try:
        resolve(MODEL, settings, Part.ALL, said.append)
    finally:
        enable_progress_bars()
    assert said[-1].startswith(f"downloading {MODEL}: ")


def test_a_second_time_nothing_is_downloaded(
    hub: FakeHub, settings: HubSettings, said: list[str]
) -> None:
    first = resolve(MODEL, settings, Part.ALL, said.append)
    hub.gets.clear()

    assert resolve(MODEL, settings, Part.ALL, said.append) == first
    assert hub.gets == []


def test_what_is_cached_serves_when_the_hub_is_gone(
    hub: FakeHub, settings: HubSettings, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resolve(MODEL, settings, Part.ALL, said.append)
    point_to(NOBODY, monkeypatch)

    assert resolve(MODEL, settings, Part.ALL, said.append) == first
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve(MODEL, settings, Part.ALL, said.append) == first


def test_weights_that_are_not_cached_are_missed_offline(
    hub: FakeHub, settings: HubSettings, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(MODEL, settings, Part.TEXT, said.append)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(SettingsError, match=r"main .* is not complete in .*HF_HUB_OFFLINE"):
        resolve(MODEL, settings, Part.ALL, said.append)


def test_a_download_that_broke_off_is_taken_up_and_whole_files_are_kept(
    hub: FakeHub, settings: HubSettings, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the library waits between its tries
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what is kept of a broken stream
    hub.cut_at[WEIGHTS] = 10_000
    with pytest.raises(SettingsError, match=r"downloading org/name failed .*start again"):
        resolve(MODEL, settings, Part.ALL, said.append)
    assert (WEIGHTS, "bytes=10000-") in hub.gets
    hub.gets.clear()
    hub.cut_at.clear()

    folder = resolve(MODEL, settings, Part.ALL, said.append)

    assert (WEIGHTS, "") in hub.gets
    assert "config.json" not in dict(hub.gets)
    assert (folder / WEIGHTS).read_bytes() == WEIGHTS.encode() * 1000


def test_an_interrupt_ends_the_download_and_leaves_no_half_file(
    hub: FakeHub, settings: HubSettings, said: list[str]
) -> None:
    hub.on_get = lambda: os.kill(os.getpid(), signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        resolve(MODEL, settings, Part.ALL, said.append)

    assert signal.getsignal(signal.SIGINT) is before
    for thread in threading.enumerate():  # one may be left that had just been started
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(20)
    assert not list(Path(settings.download_dir).rglob("*.incomplete"))


def test_a_token_opens_a_private_model_and_is_told_to_nobody(
    hub: FakeHub, settings: HubSettings, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    hub.token = TOKEN
    with pytest.raises(SettingsError, match=r"has no model org/name that anybody without a token"):
        resolve(MODEL, settings, Part.TEXT, said.append)
    with caplog.at_level(0):
        resolve(MODEL, replace(settings, hf_token=TOKEN), Part.TEXT, said.append)
    assert hub.tokens == {TOKEN}
    assert TOKEN not in caplog.text + "".join(said)


def test_a_gated_model_says_where_to_ask(
    hub: FakeHub, settings: HubSettings, said: list[str]
) -> None:
    hub.gated = True
    with pytest.raises(SettingsError, match=f"gated.*{hub.url}/org/name and set HF_TOKEN"):
        resolve(MODEL, settings, Part.ALL, said.append)


def test_a_wrong_revision_is_named(hub: FakeHub, settings: HubSettings, said: list[str]) -> None:
    with pytest.raises(SettingsError, match="org/name has no revision v7 at"):
        resolve(MODEL, replace(settings, revision="v7"), Part.ALL, said.append)


def test_a_wrong_name_may_be_a_wrong_folder(
    hub: FakeHub, settings: HubSettings, said: list[str]
) -> None:
    with pytest.raises(SettingsError, match=r"no folder org/other here, and .* has no model"):
        resolve("org/other", settings, Part.ALL, said.append)


def test_without_network_and_cache_the_sentence_says_both(
    hub: FakeHub, settings: HubSettings, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to(NOBODY, monkeypatch)
    with pytest.raises(SettingsError, match=r"no folder org/name here.*cannot be reached"):
        resolve(MODEL, settings, Part.ALL, said.append)
