"""values.schema.json of the chart, made of what its templates read and of the flags that processes have:
`python -m deploy.helm.values_schema`. It refuses whatever would be read by nobody.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baton.cluster.kubernetes.settings import KubernetesPlannerSettings
from baton.settings import Setting, settings_of
from baton.worker.settings import WorkerSettings
from gateway.settings import GatewaySettings

FILE = Path(__file__).parent / "baton" / "values.schema.json"

Schema = dict[str, Any]

# Flags that the templates set themselves, from other values.
_OF_BOTH = frozenset(
    [
        "model",
        "served-model-name",
        "revision",
        "hf-token",
        "download-dir",
        "host",
        "port",
        "redis-url",
        "redis-prefix",
        "cluster-secret",
        "tls-cert",
        "tls-key",
        "tls-ca",
        "shutdown-seconds",
        "log-format",
        "ready-fd",
    ]
)
OWNED_BY_GATEWAY = _OF_BOTH | frozenset(
    [
        "models-file",  # a release serves one model
        "uds",
        "root-path",
        "api-key",
        "ssl-certfile",
        "ssl-keyfile",
        "ssl-keyfile-password",
        "ssl-ca-certs",
        "ssl-cert-reqs",
        "registry-host",
        "registry-port",
    ]
)
OWNED_BY_WORKER = _OF_BOTH | frozenset(
    [
        "worker-id",
        "advertise-host",
        "advertise-port",
        "kv-port",
        "advertise-kv-port",
        "metrics-port",
        "registry",
        "core-board",
        "core-slot",
    ]
)

OWNED_BY_PLANNER = frozenset(
    ["prefill-deployment", "decode-deployment", "namespace", "kubernetes-url", "service-account"]
)

TEXT: Schema = {"type": "string"}
SWITCH: Schema = {"type": "boolean"}
MAP: Schema = {"type": "object"}  # Kubernetes' own, which the API server checks
TEXTS: Schema = {"type": "array", "items": TEXT}
MAPS: Schema = {"type": "array", "items": MAP}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 20}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}
SIZE: Schema = {"type": "string", "pattern": "^[0-9.]+([EPTGMk]i?|m)?$"}
FEW: Schema = {"type": ["integer", "string"], "pattern": "^[0-9]+%$", "minimum": 0}


def one_of(*texts: str) -> Schema:
    return {"type": "string", "enum": list(texts)}


def count(least: int = 0) -> Schema:
    return {"type": "integer", "minimum": least}


def number(least: float, most: float | None = None) -> Schema:
    return {"type": "number", "minimum": least} | ({} if most is None else {"maximum": most})


def closed(properties: Mapping[str, Schema], *required: str) -> Schema:
    """An object with these properties and no others."""
    schema: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(properties),
    }
    return schema | ({"required": list(required)} if required else {})


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def flags(kind: type[Any], owned: frozenset[str]) -> Schema:
    """What `settings` may say: the flags of a process but for those that the chart sets itself."""
    found = {one.flag.removeprefix("--"): one for one in settings_of(kind)}
    return closed({name: _of_flag(one) for name, one in sorted(found.items()) if name not in owned})


def _of_flag(one: Setting) -> Schema:
    if one.choices:
        return one_of(*one.choices)
    if one.several:
        return {"type": ["array", "string"], "items": TEXT}
    if one.marked("size"):
        return {"type": ["integer", "string"]}
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return {"type": names.get(one.kind, "object")}


IMAGE = closed(
    {
        "repository": TEXT,
        "tag": TEXT,
        "pullPolicy": one_of("Always", "IfNotPresent", "Never"),
    }
)
PERSISTENCE = {"storageClassName": TEXT, "size": SIZE}
ISSUER = closed({"name": TEXT, "kind": one_of("Issuer", "ClusterIssuer"), "group": TEXT})
BUDGET = closed({"enabled": SWITCH, "maxUnavailable": FEW})
PLACES: dict[str, Schema] = {"nodeSelector": LABELS, "tolerations": MAPS, "affinity": MAP}
POD: dict[str, Schema] = PLACES | {
    "image": IMAGE,
    "extraArgs": TEXTS,
    "extraEnv": MAPS,
    "extraEnvFrom": MAPS,
    "shutdownSeconds": count(),
    "resources": closed({"requests": MAP, "limits": MAP, "claims": MAPS}),
    "topologySpreadConstraints": MAPS,
    "priorityClassName": TEXT,
    "podAnnotations": LABELS,
    "podLabels": LABELS,
    "podSecurityContext": MAP,
    "securityContext": MAP,
    "startupProbe": MAP,
    "readinessProbe": MAP,
    "livenessProbe": MAP,
    "podDisruptionBudget": BUDGET,
    "extraVolumes": MAPS,
    "extraVolumeMounts": MAPS,
    "extraContainers": MAPS,
    "initContainers": MAPS,
}
SCALING: dict[str, Schema] = {
    "enabled": SWITCH,
    "minReplicas": count(1),
    "maxReplicas": count(1),
    "targetCPUUtilizationPercentage": count(1),
    "behavior": MAP,
}
WORKERS: dict[str, Schema] = POD | {
    "model": TEXT,
    "ports": closed({"grpc": PORT, "kv": PORT, "metrics": PORT}),
    "settings": {"$ref": "#/definitions/workerSettings"},
    "gpu": closed({"count": count(), "resource": TEXT, "product": TEXT}),
    "runtimeClassName": TEXT,
    "strategy": closed({"type": one_of("RollingUpdate", "Recreate"), "rollingUpdate": MAP}),
    "autoscaling": closed(
        SCALING
        | {
            "type": one_of("keda", "hpa"),
            "queueLength": number(0),
            "kvUsage": number(0, 1),
            "cooldownSeconds": count(),
        }
    ),
}
# The service, the monitors and the network policies know one set of ports.
_POOL = {name: schema for name, schema in WORKERS.items() if name != "ports"} | {
    "name": NAME,
    "replicas": count(1),
}
_PAIR = _POOL | {"prefillWorkers": count(1), "decodeWorkers": count(1)}
GATEWAY: dict[str, Schema] = POD | {
    "replicas": count(1),
    "port": PORT,
    "registryPort": PORT,
    "rootPath": {"type": "string", "pattern": "^(/.*)?$"},
    "settings": flags(GatewaySettings, OWNED_BY_GATEWAY),
    "preStopSeconds": count(),
    "tls": closed(
        {
            "enabled": SWITCH,
            "existingSecret": TEXT,
            "certManager": closed({"enabled": SWITCH, "issuerRef": ISSUER, "dnsNames": TEXTS}),
        }
    ),
    "service": closed(
        {
            "type": one_of("ClusterIP", "NodePort", "LoadBalancer"),
            "port": PORT,
            "annotations": LABELS,
        }
    ),
    "autoscaling": closed(SCALING),
}
CLUSTER_TLS = closed(
    {
        "enabled": SWITCH,
        "existingSecrets": closed({"gateway": TEXT, "worker": TEXT}),
        "certManager": closed(
            {"enabled": SWITCH, "issuerRef": ISSUER, "duration": DURATION, "renewBefore": DURATION}
        ),
    }
)
REDIS = closed(
    {
        "prefix": TEXT,
        "existing": closed(
            {
                "url": {"type": "string", "pattern": "^(rediss?://.*)?$"},
                "existingSecret": TEXT,
                "key": TEXT,
            }
        ),
        "bundled": closed(
            PLACES
            | {
                "enabled": SWITCH,
                "image": IMAGE,
                "password": {"type": "string", "pattern": "^[A-Za-z0-9_.~-]*$"},  # part of a URL
                "persistence": closed({"enabled": SWITCH, **PERSISTENCE}),
                "resources": POD["resources"],
            }
        ),
    }
)
ROUTES = {
    "ingress": closed(
        {
            "enabled": SWITCH,
            "className": TEXT,
            "annotations": LABELS,
            "hosts": listed(
                closed(
                    {
                        "host": TEXT,
                        "paths": listed(
                            closed(
                                {
                                    "path": TEXT,
                                    "pathType": one_of("Prefix", "Exact", "ImplementationSpecific"),
                                },
                                "path",
                                "pathType",
                            )
                        ),
                    },
                    "host",
                    "paths",
                )
            ),
            "tls": MAPS,
        }
    ),
    "httpRoute": closed(
        {
            "enabled": SWITCH,
            "annotations": LABELS,
            "parentRefs": MAPS,
            "hostnames": TEXTS,
            "pathPrefix": {"type": "string", "pattern": "^/"},
            "requestTimeout": DURATION,
        }
    ),
}
MONITORING = closed(
    {
        "labels": LABELS,
        "interval": DURATION,
        **{name: closed({"enabled": SWITCH}) for name in ("serviceMonitor", "podMonitor")},
        "prometheusRule": closed(
            {"enabled": SWITCH, "runbooks": {"type": "string", "minLength": 1}}
        ),
        "dashboards": closed({"enabled": SWITCH, "labels": LABELS, "annotations": LABELS}),
    }
)
MODEL_CACHE = closed(
    {
        "mountPath": {"type": "string", "pattern": "^/"},
        "persistentVolumeClaim": closed(
            {
                "enabled": SWITCH,
                "existingClaim": TEXT,
                "accessModes": TEXTS,
                "keep": SWITCH,
                **PERSISTENCE,
            }
        ),
        "emptyDir": MAP,
    }
)
RAY = closed(
    {
        "enabled": SWITCH,
        "version": TEXT,
        "head": closed(
            PLACES
            | {
                "resources": POD["resources"],
                "priorityClassName": TEXT,
            }
        ),
    }
)
PLANNER = closed(
    PLACES
    | {
        "enabled": SWITCH,
        "settings": flags(KubernetesPlannerSettings, OWNED_BY_PLANNER),
        "resources": POD["resources"],
    }
)
NETWORK_POLICY = closed(
    {
        "enabled": SWITCH,
        "gatewayFrom": MAPS,
        "metricsFrom": MAPS,
        "egress": closed({"enabled": SWITCH, "to": MAPS}),
    }
)


def whole() -> Schema:
    values: dict[str, Schema] = {
        "global": MAP,  # Helm's own
        "nameOverride": TEXT,
        "fullnameOverride": TEXT,
        "commonLabels": LABELS,
        "imagePullSecrets": listed(closed({"name": TEXT}, "name")),
        "clusterDomain": TEXT,
        "listenAddress": one_of("0.0.0.0", "::"),
        "model": closed(
            {"name": {"type": "string", "minLength": 1}, "revision": TEXT, "servedNames": TEXTS}
        ),
        "modelCache": MODEL_CACHE,
        "huggingFace": closed({"token": TEXT, "existingSecret": TEXT, "key": TEXT}),
        "clusterSecret": closed({"value": TEXT, "existingSecret": TEXT, "key": TEXT}),
        "apiKeys": closed({"values": TEXTS, "existingSecret": TEXT, "key": TEXT}),
        "clusterTLS": CLUSTER_TLS,
        "serviceAccount": closed({"create": SWITCH, "name": TEXT, "annotations": LABELS}),
        "gateway": closed(GATEWAY),
        "workers": closed(WORKERS),
        "prefill": closed({"pools": listed(closed(_POOL, "name"))}),
        "decode": closed({"pools": listed(closed(_POOL, "name"))}),
        "pair": closed({"pools": listed(closed(_PAIR, "name"))}),
        "keda": closed({"serverAddress": TEXT, "authenticationRef": MAP}),
        "redis": REDIS,
        **ROUTES,
        "networkPolicy": NETWORK_POLICY,
        "monitoring": MONITORING,
        "planner": PLANNER,
        "ray": RAY,
        "tests": closed({"enabled": SWITCH}),
    }
    head = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart baton",
    }
    definitions = {"workerSettings": flags(WorkerSettings, OWNED_BY_WORKER)}
    return head | closed(values) | {"definitions": definitions}


def text() -> str:
    return json.dumps(whole(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
