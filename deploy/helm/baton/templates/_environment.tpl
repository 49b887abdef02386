{{/* Variables that gateways and workers have alike. Secrets come this way, for no process list shows them. */}}
{{- define "baton.commonEnv" -}}
- name: BATON_CLUSTER_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ default (include "baton.fullname" .) .Values.clusterSecret.existingSecret }}
      key: {{ ternary .Values.clusterSecret.key "cluster-secret" (ne .Values.clusterSecret.existingSecret "") }}
{{- if or .Values.huggingFace.token .Values.huggingFace.existingSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ default (include "baton.fullname" .) .Values.huggingFace.existingSecret }}
      key: {{ ternary .Values.huggingFace.key "hf-token" (ne .Values.huggingFace.existingSecret "") }}
{{- end }}
{{- if .Values.redis.bundled.enabled }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "baton.fullname" . }}
      key: redis-password
- name: BATON_REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "baton.fullname" . }}-redis:6379/0
{{- else if .Values.redis.existing.existingSecret }}
- name: BATON_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.existing.existingSecret }}
      key: {{ .Values.redis.existing.key }}
{{- else if .Values.redis.existing.url }}
- name: BATON_REDIS_URL
  value: {{ .Values.redis.existing.url | quote }}
{{- end }}
- name: HF_HOME
  value: {{ .Values.modelCache.mountPath }}
- name: HOME
  value: /tmp
{{- end -}}

{{/* Arguments likewise. */}}
{{- define "baton.commonArgs" -}}
{{- if include "baton.usesRedis" . }}
- --redis-prefix={{ default (printf "%s-%s" .Release.Namespace (include "baton.fullname" .)) .Values.redis.prefix }}
{{- end }}
- --log-format=json
{{- if .Values.clusterTLS.enabled }}
- --tls-cert=/etc/baton/tls/tls.crt
- --tls-key=/etc/baton/tls/tls.key
- --tls-ca=/etc/baton/tls/ca.crt
{{- end }}
{{- end -}}

{{/* Of (dict "root" $ "side" "gateway" or "worker" "config" NAME-OF-A-CONFIGMAP-OR-EMPTY). */}}
{{- define "baton.commonMounts" -}}
- name: models
  mountPath: {{ .root.Values.modelCache.mountPath }}
- name: scratch
  mountPath: /tmp
{{- if .config }}
- name: config
  mountPath: /etc/baton/config
  readOnly: true
{{- end }}
{{- if .root.Values.clusterTLS.enabled }}
- name: tls
  mountPath: /etc/baton/tls
  readOnly: true
{{- end }}
{{- end -}}

{{- define "baton.commonVolumes" -}}
- name: models
{{- with .root.Values.modelCache }}
{{- if .persistentVolumeClaim.enabled }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-models" (include "baton.fullname" $.root)) .persistentVolumeClaim.existingClaim }}
{{- else }}
  emptyDir: {{ toJson .emptyDir }}
{{- end }}
{{- end }}
- name: scratch
  emptyDir: {}
{{- if .config }}
- name: config
  configMap:
    name: {{ .config }}
{{- end }}
{{- if .root.Values.clusterTLS.enabled }}
- name: tls
  secret:
    secretName: {{ include "baton.tlsSecret" . }}
{{- end }}
{{- end -}}

{{/* Whatever a pod's start read and does not hear of when it changes. */}}
{{- define "baton.checksums" -}}
{{- $given := list .Values.clusterSecret.value .Values.huggingFace.token .Values.apiKeys.values .Values.redis.bundled.password -}}
checksum/secrets: {{ $given | toJson | sha256sum | trunc 16 | quote }}
{{- end -}}

{{- define "baton.apiKeyEnv" -}}
- name: BATON_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ default (include "baton.fullname" .) .Values.apiKeys.existingSecret }}
      key: {{ ternary .Values.apiKeys.key "api-keys" (ne .Values.apiKeys.existingSecret "") }}
{{- end -}}
