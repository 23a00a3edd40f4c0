{{- define "dlv.labels" -}}
app.kubernetes.io/name: dlv
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "dlv.selector" -}}
app.kubernetes.io/name: dlv
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "dlv.secret" -}}
{{ required "existingSecret: name a Secret with DLV_SECRET_KEY, DLV_SECRETS_KEYS, POSTGRES_PASSWORD, NEO4J_PASSWORD and VALKEY_PASSWORD (values.yaml says how to make it)" .Values.existingSecret }}
{{- end }}

{{- define "dlv.fromSecret" -}}
- name: {{ .as }}
  valueFrom:
    secretKeyRef: {name: {{ include "dlv.secret" .root }}, key: {{ .key }}}
{{- end }}

{{- define "dlv.env" -}}
{{ include "dlv.fromSecret" (dict "root" . "as" "POSTGRES_PASSWORD" "key" "POSTGRES_PASSWORD") }}
{{ include "dlv.fromSecret" (dict "root" . "as" "VALKEY_PASSWORD" "key" "VALKEY_PASSWORD") }}
{{ include "dlv.fromSecret" (dict "root" . "as" "DLV_GRAPH_PASSWORD" "key" "NEO4J_PASSWORD") }}
{{ include "dlv.fromSecret" (dict "root" . "as" "DLV_SECRET_KEY" "key" "DLV_SECRET_KEY") }}
{{ include "dlv.fromSecret" (dict "root" . "as" "DLV_SECRETS_KEYS" "key" "DLV_SECRETS_KEYS") }}
{{- $pg := .Values.postgres }}
{{- $pghost := ternary (printf "%s-postgres" .Release.Name) $pg.host $pg.enabled }}
- name: DLV_DATABASE_URL
  value: "postgresql://{{ $pg.user }}:$(POSTGRES_PASSWORD)@{{ required "postgres.host: needed where postgres.enabled is false" $pghost }}:{{ $pg.port }}/{{ $pg.database }}{{ with $pg.parameters }}?{{ . }}{{ end }}"
{{- $vk := .Values.valkey }}
{{- $vkhost := ternary (printf "%s-valkey" .Release.Name) $vk.host $vk.enabled }}
- name: DLV_REDIS_URL
  value: "{{ ternary "rediss" "redis" $vk.tls }}://:$(VALKEY_PASSWORD)@{{ required "valkey.host: needed where valkey.enabled is false" $vkhost }}:{{ $vk.port }}/0"
- name: DLV_GRAPH_URL
  value: {{ required "neo4j.url: needed where neo4j.enabled is false" (ternary (printf "bolt://%s-neo4j:7687" .Release.Name) .Values.neo4j.url .Values.neo4j.enabled) | quote }}
- name: DLV_GRAPH_USER
  value: {{ .Values.neo4j.user | quote }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "dlv.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  {{- include "dlv.env" . | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
{{- end }}
