{{/* One worker's container. Of (dict "root" $ "pool" POOL "role" "prefill" "index" N "alone" BOOL): workers of one
     pod share its address, so each takes ports of its own, counted on from the pool's. */}}
{{- define "baton.worker" -}}
{{- $pool := .pool -}}
{{- $values := .root.Values -}}
{{- $grpc := add (int $pool.ports.grpc) .index -}}
{{- $kv := add (int $pool.ports.kv) .index -}}
{{- $metrics := add (int $pool.ports.metrics) .index -}}
{{- $port := ternary "metrics" (printf "metrics-%d" (int .index)) .alone -}}
{{- $config := ternary $pool.fullname "" (gt (len $pool.settings) 0) -}}
- name: {{ ternary .role (printf "%s-%d" .role (int .index)) .alone }}
  image: {{ include "baton.image" (dict "root" .root "image" $pool.image) }}
  imagePullPolicy: {{ $pool.image.pullPolicy }}
  {{- if $values.clusterTLS.enabled }}
  # Peers check certificates against the host that they call. Cluster DNS has a name for each pod of a headless
  # Service: its address with dashes. One certificate is for all of them.
  command:
    - /bin/sh
    - -c
    - export BATON_ADVERTISE_HOST="$(echo "$POD_IP" | tr '.:' '--').{{ include "baton.workersDomain" .root }}"; exec baton "$@"
    - baton
  {{- else }}
  command: [baton]
  {{- end }}
  args:
    - {{ .role }}
    - --model={{ default $values.model.name $pool.model }}
    {{- if and $values.model.revision (not $pool.model) }}
    - --revision={{ $values.model.revision }}
    {{- end }}
    {{- range $values.model.servedNames }}
    - --served-model-name={{ . }}
    {{- else }}
    {{- if $pool.model }}
    - --served-model-name={{ $values.model.name }}
    {{- end }}
    {{- end }}
    - --worker-id={{ ternary "$(POD_NAME)" (printf "$(POD_NAME)-%s-%d" .role (int .index)) .alone }}
    - --host={{ $values.listenAddress }}
    {{- if not $values.clusterTLS.enabled }}
    - --advertise-host=$(POD_IP)
    {{- end }}
    - --port={{ $grpc }}
    - --kv-port={{ $kv }}
    - --metrics-port={{ $metrics }}
    {{- if not (include "baton.usesRedis" .root) }}
    - --registry={{ include "baton.registryHost" .root }}:{{ int $values.gateway.registryPort }}
    {{- end }}
    - --shutdown-seconds={{ int $pool.shutdownSeconds }}
    {{- include "baton.commonArgs" .root | trim | nindent 4 }}
    {{- with $pool.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    - name: POD_IP
      valueFrom: {fieldRef: {fieldPath: status.podIP}}
    {{- include "baton.commonEnv" .root | nindent 4 }}
    - name: TRITON_CACHE_DIR
      value: /tmp/triton
    {{- if $config }}
    - name: BATON_CONFIG
      value: /etc/baton/config/settings.yaml
    {{- end }}
    {{- with $pool.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $pool.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - {name: {{ ternary "grpc" (printf "grpc-%d" (int .index)) .alone }}, containerPort: {{ $grpc }}}
    - {name: {{ ternary "kv" (printf "kv-%d" (int .index)) .alone }}, containerPort: {{ $kv }}}
    - {name: {{ $port }}, containerPort: {{ $metrics }}}
  startupProbe:
    {{- include "baton.probe" (dict "path" "/health" "port" $port "patience" $pool.startupProbe) | nindent 4 }}
  readinessProbe:
    {{- include "baton.probe" (dict "path" "/health" "port" $port "patience" $pool.readinessProbe) | nindent 4 }}
  livenessProbe:
    {{- include "baton.probe" (dict "path" "/live" "port" $port "patience" $pool.livenessProbe) | nindent 4 }}
  resources:
    {{- include "baton.workerResources" $pool | nindent 4 }}
  securityContext:
    {{- toYaml $pool.securityContext | nindent 4 }}
  volumeMounts:
    {{- include "baton.commonMounts" (dict "root" .root "config" $config) | nindent 4 }}
    {{- with $pool.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Of a pool: its resources, with its GPUs among the limits. */}}
{{- define "baton.workerResources" -}}
{{- $resources := deepCopy .resources -}}
{{- if gt (int .gpu.count) 0 -}}
{{- $gpus := dict .gpu.resource (int .gpu.count) -}}
{{- $resources = merge $resources (dict "limits" $gpus "requests" $gpus) -}}
{{- end -}}
{{ toYaml $resources }}
{{- end -}}

{{- define "baton.workerSelector" -}}
{{ include "baton.selector" .root }}
app.kubernetes.io/component: {{ .pool.role }}
baton.dev/pool: {{ .pool.name }}
{{- end -}}
