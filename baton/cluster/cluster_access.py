"""What a command shows to a cluster's processes, beside the gateway's HTTP API."""

from dataclasses import dataclass

from baton.rpc.tls_settings import ClusterTls
from baton.settings import nested, setting


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    cluster_secret: str = setting("", "The cluster's, as its workers were given it.", secret=True)
    cluster_tls: ClusterTls = nested(ClusterTls)
