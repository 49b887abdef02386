"""What --tls-cert, --tls-key and --tls-ca may be, and a sentence for everything else."""

from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from baton.rpc.tls_identity import TlsIdentity
from baton.rpc.tls_settings import ClusterTls
from tests.support.certificates import Authority, Certificate, make_authority, make_certificate


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def shown(ours: Authority) -> Certificate:
    return ours.issue("shown")


def refusal(settings: ClusterTls, host: str = "") -> str:
    with pytest.raises(SettingsError) as refused:
        settings.check(host)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def identity_of(settings: ClusterTls) -> TlsIdentity:
    identity = settings.identity()
    assert identity is not None
    return identity


def test_without_the_flags_there_is_no_tls() -> None:
    settings = ClusterTls()
    settings.check("anywhere")
    assert settings.identity() is None
    assert not settings.is_on


def test_all_three_files_make_an_identity(ours: Authority, shown: Certificate) -> None:
    settings = ours.settings(shown)
    settings.check("127.0.0.1")
    settings.check("localhost")
    pem = identity_of(settings).pem()
    assert pem.cert == shown.cert.read_bytes()
    assert pem.ca == ours.cert.read_bytes()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("c", "", ""), "--tls-cert without --tls-key and --tls-ca: mutual TLS needs all three"),
        (("c", "k", ""), "--tls-cert and --tls-key without --tls-ca: mutual TLS needs all three"),
        (("", "", "a"), "--tls-ca without --tls-cert and --tls-key: mutual TLS needs all three"),
    ],
)
def test_the_missing_flag_is_named(given: tuple[str, str, str], sentence: str) -> None:
    assert refusal(ClusterTls(*given)) == sentence


def test_a_file_at_fault_is_named(ours: Authority, shown: Certificate, tmp_path: Path) -> None:
    cert, key, ca = str(shown.cert), str(shown.key), str(ours.cert)
    nowhere, text = tmp_path / "nowhere.pem", tmp_path / "text.pem"
    text.write_text("no PEM")
    gone = "No such file or directory"
    assert refusal(ClusterTls(str(nowhere), key, ca)) == f"cannot read --tls-cert {nowhere}: {gone}"
    assert refusal(ClusterTls(cert, str(nowhere), ca)) == f"cannot read --tls-key {nowhere}: {gone}"
    assert refusal(ClusterTls(cert, key, str(nowhere))) == f"cannot read --tls-ca {nowhere}: {gone}"
    assert f"--tls-cert {text} holds no certificate" in refusal(ClusterTls(str(text), key, ca))
    assert f"--tls-key {text} holds no key" in refusal(ClusterTls(cert, str(text), ca))
    assert f"--tls-ca {text} holds no certificate" in refusal(ClusterTls(cert, key, str(text)))


def test_a_key_of_another_certificate_is_refused(ours: Authority, shown: Certificate) -> None:
    other = ours.issue("other")
    mixed = ours.settings(Certificate(shown.cert, other.key))
    assert f"the key in {other.key} does not belong to the certificate" in refusal(mixed)


def test_an_encrypted_key_is_refused(ours: Authority, tmp_path: Path) -> None:
    locked = make_certificate(tmp_path, "locked", "open sesame")
    assert "is encrypted; --tls-key takes one without a password" in refusal(ours.settings(locked))


def test_a_certificate_that_is_over_is_refused(ours: Authority) -> None:
    assert refusal(ours.settings(ours.issue("over", days=-1))).endswith("certificate has expired")


def test_a_certificate_of_another_authority_is_refused(ours: Authority, tmp_path: Path) -> None:
    foreign = make_authority(tmp_path / "foreign").issue("foreign")
    sentence = refusal(ours.settings(foreign))
    assert sentence.startswith(f"no peer with this --tls-ca would accept --tls-cert {foreign.cert}")


def test_a_certificate_for_other_hosts_is_refused(ours: Authority, shown: Certificate) -> None:
    for host in ("worker.internal", "10.0.0.7", "[::1]"):
        assert f"it is not for {host.strip('[]')}, " in refusal(ours.settings(shown), host)
    nameless = ours.issue("localhost", names="")  # a common name alone is no name
    assert "it is not for localhost" in refusal(ours.settings(nameless), "localhost")
    bracketed = ours.issue("six", names="IP:::1")
    ours.settings(bracketed).check("[::1]")


def test_an_identity_follows_its_files_and_keeps_what_worked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = make_authority(tmp_path)
    first, second = authority.issue("first"), authority.issue("second")
    identity = identity_of(authority.settings(first))
    before = identity.pem()
    first.cert.write_bytes(second.cert.read_bytes())  # its key comes a moment later
    assert identity.pem() == identity.pem() == before
    assert caplog.text.count("the TLS files of before stay in use: the key in") == 1
    first.key.write_bytes(second.key.read_bytes())
    assert identity.pem().key == second.key.read_bytes()
    assert identity.pem().cert == second.cert.read_bytes()
