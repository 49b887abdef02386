"""What --ssl-... may be, and a sentence for everything else."""

import ssl
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import SettingsError
from gateway.http.tls import TlsSettings
from tests.support.certificates import Certificate, make_certificate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def server(folder: Path) -> Certificate:
    return make_certificate(folder)


@pytest.fixture(scope="module")
def locked(folder: Path) -> Certificate:
    return make_certificate(folder, "locked", "open sesame")


def refusal(**given: object) -> str:
    settings: dict[str, Any] = {
        name: value if isinstance(value, int) else str(value) for name, value in given.items()
    }
    with pytest.raises(SettingsError) as refused:
        TlsSettings(**settings).check()
    return str(refused.value)


def test_without_a_certificate_it_is_plain_http() -> None:
    assert TlsSettings().context() is None
    assert TlsSettings().scheme == "http"
    TlsSettings().check()


def test_certificate_and_key_make_a_context(server: Certificate) -> None:
    settings = TlsSettings(ssl_certfile=str(server.cert), ssl_keyfile=str(server.key))
    settings.check()
    assert settings.scheme == "https"
    context = settings.context()
    assert context is not None
    assert context.verify_mode is ssl.CERT_NONE


def test_the_key_may_be_in_the_certificates_file(server: Certificate, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(server.cert.read_text() + server.key.read_text())
    TlsSettings(ssl_certfile=str(both)).check()


def test_an_encrypted_key_opens_with_its_password(locked: Certificate) -> None:
    TlsSettings(str(locked.cert), str(locked.key), "open sesame").check()
    files = {"ssl_certfile": locked.cert, "ssl_keyfile": locked.key}
    assert "is encrypted; give --ssl-keyfile-password" in refusal(**files)
    wrong = refusal(**files, ssl_keyfile_password="sesame")
    assert "--ssl-keyfile-password does not open" in wrong


def test_clients_may_be_asked_for_certificates(server: Certificate) -> None:
    settings = TlsSettings(
        str(server.cert), str(server.key), ssl_ca_certs=str(server.cert), ssl_cert_reqs=2
    )
    settings.check()
    context = settings.context()
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_file_that_does_not_fit_is_named(
    server: Certificate, locked: Certificate, tmp_path: Path
) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    cert, key = server.cert, server.key
    missing = tmp_path / "none.pem"
    assert f"cannot read --ssl-certfile {missing}: No such file" in refusal(ssl_certfile=missing)
    assert f"--ssl-keyfile {missing}" in refusal(ssl_certfile=cert, ssl_keyfile=missing)
    assert "Is a directory" in refusal(ssl_certfile=tmp_path)
    assert f"--ssl-certfile {other} holds no certificate" in refusal(
        ssl_certfile=other, ssl_keyfile=key
    )
    assert f"--ssl-keyfile {other} holds no key" in refusal(ssl_certfile=cert, ssl_keyfile=other)
    assert f"--ssl-certfile {cert} holds no key" in refusal(ssl_certfile=cert)
    assert "does not belong to the certificate" in refusal(
        ssl_certfile=cert,
        ssl_keyfile=make_certificate(tmp_path, "other").key,
    )
    assert "holds no certificate in PEM form" in refusal(
        ssl_certfile=cert, ssl_keyfile=key, ssl_ca_certs=other, ssl_cert_reqs=1
    )


def test_flags_that_do_nothing_are_refused(server: Certificate) -> None:
    for spec in fields(TlsSettings):
        if spec.name != "ssl_certfile":
            value = 1 if spec.type is int else "x"
            assert "does nothing without --ssl-certfile" in refusal(**{spec.name: value})
    files = {"ssl_certfile": server.cert, "ssl_keyfile": server.key}
    assert "needs --ssl-ca-certs" in refusal(**files, ssl_cert_reqs=1)
    assert "does nothing without --ssl-cert-reqs" in refusal(**files, ssl_ca_certs=server.cert)
    assert "must be 0, 1 or 2, not 3" in refusal(**files, ssl_cert_reqs=3)
