{{- define "baton.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Begins the name of every object; 32 characters leave room for -prefill-POOL and what pods append. */}}
{{- define "baton.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 32 | trimSuffix "-" -}}
{{- else if contains (include "baton.name" .) .Release.Name -}}
{{- .Release.Name | trunc 32 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "baton.name" .) | trunc 32 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "baton.selector" -}}
app.kubernetes.io/name: {{ include "baton.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "baton.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "baton.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: baton
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "baton.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "baton.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Of (dict "root" $ "image" ...). */}}
{{- define "baton.image" -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}

{{/* A probe: the question, and its patience from the values. Of (dict "path" "port" "scheme" "patience"). */}}
{{- define "baton.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
{{- with .scheme }}
  scheme: {{ . }}
{{- end }}
{{ toYaml .patience }}
{{- end -}}

{{/* Every pool with what `workers` says beneath it, and its role: {"pools": [...]} as JSON. */}}
{{- define "baton.pools" -}}
{{- $pools := list -}}
{{- range $role := list "prefill" "decode" "pair" -}}
{{- range (index $.Values $role).pools -}}
{{- $pool := mergeOverwrite (deepCopy $.Values.workers) (deepCopy .) -}}
{{- $name := printf "%s-%s-%s" (include "baton.fullname" $) $role .name -}}
{{- $counts := dict "prefill" 0 "decode" 0 -}}
{{- if eq $role "pair" -}}
{{- $_ := set $counts "prefill" (int (default 1 .prefillWorkers)) -}}
{{- $_ := set $counts "decode" (int (default 1 .decodeWorkers)) -}}
{{- else -}}
{{- $_ := set $counts $role 1 -}}
{{- end -}}
{{- $pools = append $pools (merge (dict "role" $role "fullname" $name "counts" $counts) $pool) -}}
{{- end -}}
{{- end -}}
{{- dict "pools" $pools | toJson -}}
{{- end -}}

{{/* Deployments that the planner scales, by role: as JSON. */}}
{{- define "baton.plannedDeployments" -}}
{{- $found := dict -}}
{{- if .Values.planner.enabled -}}
{{- range (include "baton.pools" . | fromJson).pools -}}
{{- $_ := set $found .role .fullname -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* Most workers of one pod. */}}
{{- define "baton.workersPerPod" -}}
{{- $most := 1 -}}
{{- range (include "baton.pools" . | fromJson).pools -}}
{{- $most = max $most (add .counts.prefill .counts.decode) -}}
{{- end -}}
{{- $most -}}
{{- end -}}

{{- define "baton.usesRedis" -}}
{{- if or .Values.redis.bundled.enabled .Values.redis.existing.url .Values.redis.existing.existingSecret -}}true{{- end -}}
{{- end -}}

{{- define "baton.registryHost" -}}
{{- printf "%s-registry.%s.svc.%s" (include "baton.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{- define "baton.workersDomain" -}}
{{- printf "%s-workers.%s.svc.%s" (include "baton.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{- define "baton.gatewayURL" -}}
{{- $scheme := ternary "https" "http" .Values.gateway.tls.enabled -}}
{{- printf "%s://%s-gateway.%s.svc.%s:%d" $scheme (include "baton.fullname" .) .Release.Namespace .Values.clusterDomain (int .Values.gateway.service.port) -}}
{{- end -}}

{{/* Secret that holds the files of mutual TLS. Of (dict "root" $ "side" "gateway" or "worker"). */}}
{{- define "baton.tlsSecret" -}}
{{- $given := index .root.Values.clusterTLS.existingSecrets .side -}}
{{- default (printf "%s-%s-tls" (include "baton.fullname" .root) .side) $given -}}
{{- end -}}

{{- define "baton.httpsSecret" -}}
{{- default (printf "%s-https" (include "baton.fullname" .)) .Values.gateway.tls.existingSecret -}}
{{- end -}}
