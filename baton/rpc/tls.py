"""What gRPC makes of mutual TLS: each side shows its certificate and checks the other's."""

import grpc

from baton.rpc.tls_files import Pem
from baton.rpc.tls_identity import TlsIdentity


def channel_credentials(identity: TlsIdentity) -> grpc.ChannelCredentials:
    """Of the files as they are now."""
    pem = identity.pem()
    return grpc.ssl_channel_credentials(pem.ca, pem.key, pem.cert)


def server_credentials(identity: TlsIdentity) -> grpc.ServerCredentials:
    """Of the files as they are at each connection. Callers must show a certificate."""
    used = identity.pem()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        """None: as before. gRPC asks on a thread of its own."""
        nonlocal used
        pem = identity.pem()
        if pem == used:
            return None
        used = pem
        return _configuration(pem)

    credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        renewed,  # type: ignore[arg-type]  # None is allowed; the stubs do not know it
        require_client_authentication=True,
    )
    return credentials


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.cert)], pem.ca)
