{{/* What the schema cannot say. Each failure is one sentence for whoever installs. */}}
{{- define "baton.validate" -}}
{{- $redis := include "baton.usesRedis" . -}}
{{- $several := or (gt (int .Values.gateway.replicas) 1) .Values.gateway.autoscaling.enabled -}}
{{- if and $several (not $redis) -}}
{{- fail "gateway.replicas above 1 and gateway.autoscaling need a registry that all gateways share: set redis.bundled.enabled, or redis.existing" -}}
{{- end -}}
{{- if and .Values.redis.bundled.enabled (or .Values.redis.existing.url .Values.redis.existing.existingSecret) -}}
{{- fail "redis.bundled.enabled and redis.existing name two registries; give one of them" -}}
{{- end -}}
{{- if and .Values.redis.existing.url .Values.redis.existing.existingSecret -}}
{{- fail "redis.existing.url and redis.existing.existingSecret are two addresses of one Redis; give one of them" -}}
{{- end -}}
{{- if .Values.ray.enabled -}}
{{- fail "ray.enabled: this version of Baton cannot be orchestrated by Ray yet, so a RayCluster would stand idle; leave it false, and pools run as Deployments" -}}
{{- end -}}
{{- with .Values.clusterTLS -}}
{{- $given := and .existingSecrets.gateway .existingSecrets.worker -}}
{{- if and .enabled (not .certManager.enabled) (not $given) -}}
{{- fail "clusterTLS.enabled needs certificates: set clusterTLS.certManager.enabled, or both clusterTLS.existingSecrets" -}}
{{- end -}}
{{- if and .certManager.enabled (not .enabled) -}}
{{- fail "clusterTLS.certManager.enabled does nothing without clusterTLS.enabled" -}}
{{- end -}}
{{- if and .certManager.enabled (or .existingSecrets.gateway .existingSecrets.worker) -}}
{{- fail "clusterTLS.certManager.enabled and clusterTLS.existingSecrets are two sources of one certificate; give one of them" -}}
{{- end -}}
{{- end -}}
{{- with .Values.gateway.tls -}}
{{- if and .enabled (not .existingSecret) (not .certManager.enabled) -}}
{{- fail "gateway.tls.enabled needs a certificate: set gateway.tls.existingSecret, or gateway.tls.certManager.enabled" -}}
{{- end -}}
{{- if and .enabled .certManager.enabled (not .certManager.issuerRef.name) -}}
{{- fail "gateway.tls.certManager needs an issuer that clients trust: set gateway.tls.certManager.issuerRef.name" -}}
{{- end -}}
{{- end -}}
{{- $pools := (include "baton.pools" . | fromJson).pools -}}
{{- $decode := false -}}
{{- $names := dict -}}
{{- range $pools -}}
{{- if hasKey $names .fullname -}}
{{- fail (printf "%s.pools: two pools are named %s; their names must differ" .role .name) -}}
{{- end -}}
{{- $_ := set $names .fullname true -}}
{{- if gt (len .fullname) 52 -}}
{{- fail (printf "%s.pools: with the release's name, %s is longer than 52 characters, so pods and labels would be cut; shorten the pool's name or set fullnameOverride" .role .fullname) -}}
{{- end -}}
{{- if gt (int .counts.decode) 0 -}}{{- $decode = true -}}{{- end -}}
{{- if and .autoscaling.enabled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- fail (printf "%s.pools, %s: autoscaling.minReplicas is above autoscaling.maxReplicas" .role .name) -}}
{{- end -}}
{{- if and .gpu.product (eq (int .gpu.count) 0) -}}
{{- fail (printf "%s.pools, %s: gpu.product chooses among GPUs, and gpu.count is 0" .role .name) -}}
{{- end -}}
{{- end -}}
{{- if not $decode -}}
{{- fail "decode.pools is empty and pair.pools too: there is nobody to write answers (prefill may be missing, then decode workers read prompts too)" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled needs ingress.hosts" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs: the Gateway that it belongs to" -}}
{{- end -}}
{{- end -}}
