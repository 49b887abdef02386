{{/* What `baton up` in Ray is told beside what a gateway is: how many workers, and on which nodes. Each worker takes one of
     the resource that is called as its role; the nodes of a pool have as many as the pool has workers in a pod. */}}
{{- define "baton.rayArgs" -}}
{{- $prefill := 0 -}}
{{- $decode := 0 -}}
{{- $needs := dict "prefill" (dict "prefill" 1) "decode" (dict "decode" 1) -}}
{{- range (include "baton.pools" . | fromJson).pools -}}
{{- $pods := int (default 1 .replicas) -}}
{{- $prefill = add $prefill (mul $pods (int .counts.prefill)) -}}
{{- $decode = add $decode (mul $pods (int .counts.decode)) -}}
{{- if gt (int .gpu.count) 0 -}}
{{- $share := divf (int .gpu.count) (add (int .counts.prefill) (int .counts.decode)) -}}
{{- range $role, $count := .counts -}}
{{- if gt (int $count) 0 -}}{{- $_ := set (index $needs $role) "GPU" $share -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
- --orchestrator=ray
- --ray-address=auto
- --ray-namespace={{ include "baton.fullname" . }}
- --prefill-workers={{ $prefill }}
- --decode-workers={{ $decode }}
- --ray-prefill-resources={{ $needs.prefill | toJson }}
- --ray-decode-resources={{ $needs.decode | toJson }}
{{- end -}}

{{/* Every process of Ray: the cluster's secret is its token too, and a dead node is noticed in 3 s rather than 16. */}}
{{- define "baton.rayEnv" -}}
- name: RAY_AUTH_MODE
  value: token
- name: RAY_AUTH_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ default (include "baton.fullname" .) .Values.clusterSecret.existingSecret }}
      key: {{ ternary .Values.clusterSecret.key "cluster-secret" (ne .Values.clusterSecret.existingSecret "") }}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
- {name: RAY_health_check_initial_delay_ms, value: "1000"}
- {name: RAY_health_check_period_ms, value: "500"}
- {name: RAY_health_check_timeout_ms, value: "500"}
- {name: RAY_health_check_failure_threshold, value: "3"}
- {name: RAY_worker_niceness, value: "0"}
{{- end -}}

{{/* What pods of Ray have alike. Of (dict "root" $ "of" HEAD-OR-POOL). */}}
{{- define "baton.rayPod" -}}
serviceAccountName: {{ include "baton.serviceAccountName" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.workers.podSecurityContext | nindent 2 }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
