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
{{- include "baton.validateRay" . -}}
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
{{- include "baton.validatePlanner" . -}}
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

{{- define "baton.validatePlanner" -}}
{{- if .Values.planner.enabled -}}
{{- if .Values.ray.enabled -}}
{{- fail "planner.enabled scales Deployments, and with ray.enabled there are none: set planner in gateway.settings instead" -}}
{{- end -}}
{{- if .Values.gateway.tls.enabled -}}
{{- fail "planner.enabled asks the gateway inside the cluster without HTTPS; leave gateway.tls.enabled off and have the ingress speak it" -}}
{{- end -}}
{{- if not (or (hasKey .Values.planner.settings "slo-ttft-ms") (hasKey .Values.planner.settings "slo-itl-ms")) -}}
{{- fail "planner.enabled needs something to hold: set slo-ttft-ms or slo-itl-ms in planner.settings" -}}
{{- end -}}
{{- if not (hasKey .Values.planner.settings "max-workers") -}}
{{- fail "planner.enabled needs a bound: set max-workers in planner.settings" -}}
{{- end -}}
{{- if or .Values.pair.pools (gt (len .Values.prefill.pools) 1) (gt (len .Values.decode.pools) 1) -}}
{{- fail "planner.enabled counts all workers of a role as one Deployment's: have one pool at most in prefill.pools and in decode.pools, and none in pair.pools" -}}
{{- end -}}
{{- range (include "baton.pools" . | fromJson).pools -}}
{{- if .autoscaling.enabled -}}
{{- fail (printf "%s.pools, %s: autoscaling and the planner would both scale it; give it to one of them" .role .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "baton.validateRay" -}}
{{- if .Values.ray.enabled -}}
{{- if or (gt (int .Values.gateway.replicas) 1) .Values.gateway.autoscaling.enabled -}}
{{- fail "ray.enabled: one `baton up` runs the gateway and places the workers, so gateway.replicas is 1 and gateway.autoscaling off" -}}
{{- end -}}
{{- if .Values.clusterTLS.enabled -}}
{{- fail "ray.enabled: workers in Ray are reached by their pods' addresses, which no certificate of clusterTLS is for; leave it off and set networkPolicy.enabled" -}}
{{- end -}}
{{- if .Values.monitoring.podMonitor.enabled -}}
{{- fail "ray.enabled: workers in Ray take any free port for their metrics, so monitoring.podMonitor would find none; leave it off, /status of the gateway names them" -}}
{{- end -}}
{{- $gpus := dict -}}
{{- range (include "baton.pools" . | fromJson).pools -}}
{{- if .autoscaling.enabled -}}
{{- fail (printf "ray.enabled, %s.pools, %s: autoscaling is of Deployments; the pools of a RayCluster have fixed replicas" .role .name) -}}
{{- end -}}
{{- if or .model (ne (toJson .settings) (toJson $.Values.workers.settings)) -}}
{{- fail (printf "ray.enabled, %s.pools, %s: all workers of a `baton up` have one model and one set of settings; say it in workers.settings" .role .name) -}}
{{- end -}}
{{- $share := printf "%d/%d" (int .gpu.count) (int (add .counts.prefill .counts.decode)) -}}
{{- range $role, $count := .counts -}}
{{- if gt (int $count) 0 -}}
{{- if ne $share (get $gpus $role | default $share) -}}
{{- fail (printf "ray.enabled: all %s workers take the same of a node, so gpu.count must be the same for each of them" $role) -}}
{{- end -}}
{{- $_ := set $gpus $role $share -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
