"""What the chart uses of other people's resources, as their definitions say it. Closed: a field that is not
here is one that nobody has looked up.

From the definitions of KEDA 2.16, Prometheus operator 0.79, cert-manager 1.16, Gateway API 1.2, KubeRay 1.4.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT, "minItems": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}


def closed(*required: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": list(required),
    }


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def enum(*values: str) -> Schema:
    return {"enum": list(values)}


SELECTOR = closed("matchLabels", matchLabels=LABELS)
ISSUER_REF = closed("name", name=TEXT, kind=enum("Issuer", "ClusterIssuer"), group=TEXT)
TRIGGER = closed(
    "type",
    "metadata",
    type=enum("prometheus"),
    metricType=enum("AverageValue", "Value"),
    metadata=closed(  # all of them texts
        "serverAddress", "query", "threshold", serverAddress=TEXT, query=TEXT, threshold=TEXT
    ),
    authenticationRef=closed("name", name=TEXT, kind=TEXT),
)
ENDPOINT = {
    "port": TEXT,
    "path": TEXT,
    "interval": DURATION,
    "scheme": enum("http", "https"),
    "tlsConfig": closed(insecureSkipVerify={"type": "boolean"}),
    "relabelings": listed(
        closed("targetLabel", sourceLabels=TEXTS, targetLabel=TEXT, replacement=TEXT)
    ),
}
RULE = closed(
    "expr",
    expr={"type": ["string", "integer"]},
    alert=TEXT,
    record=TEXT,
    labels=LABELS,
    annotations=LABELS,
    **{"for": DURATION, "keep_firing_for": DURATION},
)

RAY_START: Schema = {"type": "object", "additionalProperties": TEXT}  # texts, numbers too
RAY_PODS = closed(  # held to Kubernetes' own schema, as a Pod
    "spec", metadata=closed(labels=LABELS, annotations=LABELS), spec={"type": "object"}
)

# (apiVersion, kind) -> its spec
SPECS: dict[tuple[str, str], Schema] = {
    ("keda.sh/v1alpha1", "ScaledObject"): closed(
        "scaleTargetRef",
        "triggers",
        scaleTargetRef=closed("name", apiVersion=TEXT, kind=TEXT, name=TEXT),
        minReplicaCount=COUNT,
        maxReplicaCount=COUNT,
        cooldownPeriod=COUNT,
        advanced=closed(horizontalPodAutoscalerConfig=closed(behavior={"type": "object"})),
        triggers=listed(TRIGGER),
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): closed(
        "selector", "endpoints", selector=SELECTOR, endpoints=listed(closed(**ENDPOINT))
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): closed(
        "selector",
        "podMetricsEndpoints",
        selector=SELECTOR,
        podMetricsEndpoints=listed(closed(**ENDPOINT)),
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): closed(
        "groups",
        groups=listed(closed("name", "rules", name=TEXT, interval=DURATION, rules=listed(RULE))),
    ),
    ("cert-manager.io/v1", "Issuer"): {
        "oneOf": [
            closed("selfSigned", selfSigned=closed()),
            closed("ca", ca=closed("secretName", secretName=TEXT)),
        ]
    },
    ("cert-manager.io/v1", "Certificate"): closed(
        "secretName",
        "issuerRef",
        secretName=TEXT,
        issuerRef=ISSUER_REF,
        isCA={"type": "boolean"},
        commonName={"type": "string", "maxLength": 64},
        dnsNames=TEXTS,
        duration=DURATION,
        renewBefore=DURATION,
        privateKey=closed(
            algorithm=enum("RSA", "ECDSA", "Ed25519"),
            size=COUNT,
            rotationPolicy=enum("Never", "Always"),
        ),
        usages=listed(enum("digital signature", "server auth", "client auth")),
    ),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): closed(
        "parentRefs",
        parentRefs=listed(closed("name", name=TEXT, namespace=TEXT, sectionName=TEXT)),
        hostnames=TEXTS,
        rules=listed(
            closed(
                matches=listed(
                    closed(path=closed(type=enum("PathPrefix", "Exact"), value=TEXT)),
                ),
                backendRefs=listed(closed("name", name=TEXT, port=COUNT)),
                timeouts=closed(request=DURATION),
            )
        ),
    ),
    ("ray.io/v1", "RayCluster"): closed(
        "headGroupSpec",
        rayVersion=TEXT,
        enableInTreeAutoscaling={"type": "boolean"},
        headGroupSpec=closed(
            "rayStartParams", "template", rayStartParams=RAY_START, template=RAY_PODS
        ),
        workerGroupSpecs=listed(
            closed(
                "groupName",
                "rayStartParams",
                "template",
                groupName=TEXT,
                replicas=COUNT,
                minReplicas=COUNT,
                maxReplicas=COUNT,
                rayStartParams=RAY_START,
                template=RAY_PODS,
            )
        ),
    ),
}
