"""Certificates for tests, signed by themselves or by an authority of theirs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from baton.rpc.tls_settings import ClusterTls

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files; the certificate is its own authority."""

    cert: Path
    key: Path


def make_certificate(folder: Path, name: str = "server", password: str = "") -> Certificate:
    """For 127.0.0.1 and localhost; `password` encrypts the key."""
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    names = ("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    files = ("-out", str(made.cert), "-keyout", str(made.key))
    locked = ("-passout", f"pass:{password}") if password else ("-nodes",)
    _openssl("req", "-x509", *_CURVE, "-days", "2", "-subj", f"/CN={name}", *names, *files, *locked)
    return made


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates of its own cluster."""

    folder: Path
    own: Certificate

    @property
    def cert(self) -> Path:
        return self.own.cert

    def issue(
        self, name: str, names: str = "IP:127.0.0.1,DNS:localhost", days: int = 2
    ) -> Certificate:
        """`names`: the subject's alternative names, or "" for none; negative days: over already."""
        made = Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE")
        wanted = ("-subj", f"/CN={name}", "-out", str(request), "-keyout", str(made.key))
        _openssl("req", "-new", "-nodes", *_CURVE, *wanted)
        signed = ("-CA", str(self.own.cert), "-CAkey", str(self.own.key), "-CAcreateserial")
        files = ("-in", str(request), "-extfile", str(extensions), "-out", str(made.cert))
        _openssl("x509", "-req", *signed, *files, "-days", str(days))
        return made

    def settings(self, shown: Certificate) -> ClusterTls:
        """For a process of the cluster that shows this certificate."""
        return ClusterTls(str(shown.cert), str(shown.key), str(self.cert))


def make_authority(folder: Path, name: str = "authority") -> Authority:
    folder.mkdir(parents=True, exist_ok=True)
    return Authority(folder, make_certificate(folder, name))


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)
