"""Certificates for tests, signed by themselves."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files; the certificate is its own authority."""

    cert: Path
    key: Path


def make_certificate(folder: Path, name: str = "server", password: str = "") -> Certificate:
    """For 127.0.0.1 and localhost; `password` encrypts the key."""
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-days",
        "2",
        "-subj",
    ]
    words += [f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    words += ["-out", str(made.cert), "-keyout", str(made.key)]
    words += ["-passout", f"pass:{password}"] if password else ["-nodes"]
    subprocess.run(words, check=True, capture_output=True, timeout=30)
    return made
