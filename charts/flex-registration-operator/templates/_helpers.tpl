{{- define "operator.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "operator.fullname" -}}
{{- $name := include "operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "operator.labels" -}}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "operator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "operator.fullname" .) }}
{{- end }}

{{- /*
operator.lease is the name of the lease. With a selector it is that of the release, and not of the selector: while an upgrade that
changes the selector replaces the pods, only one of them works.
*/ -}}
{{- define "operator.lease" -}}
{{ empty .Values.selector | ternary "flex-registration-operator" (include "operator.fullname" .) }}
{{- end }}

{{- define "operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* operator.namespaces are, as JSON, those that the operator looks after; none stands for all. */ -}}
{{- define "operator.namespaces" -}}
{{- if eq .Values.scope "namespaces" -}}
{{ .Values.namespaces | default (list .Release.Namespace) | uniq | toJson }}
{{- else if eq .Values.scope "secrets" -}}
{{- if not .Values.gateways }}{{ fail "scope is secrets: list the gateways with their Secrets in gateways" }}{{ end -}}
{{- $namespaces := list -}}
{{- range .Values.gateways }}{{ $namespaces = append $namespaces .namespace }}{{ end -}}
{{ $namespaces | uniq | toJson }}
{{- else -}}
[]
{{- end -}}
{{- end }}

{{- /* operator.record is the name of the record of a gateway's Secret, as internal/gateway has it. */ -}}
{{- define "operator.record" -}}
flexreg-record-{{ printf "%s\x00%s" .secret (.key | default "registration.yaml") | sha256sum | trunc 16 }}
{{- end }}

{{- /* operator.secrets are, as JSON, the Secrets of gateways: their namespace and name, and whether they are written. */ -}}
{{- define "operator.secrets" -}}
{{- $secrets := list -}}
{{- range $gateway := .Values.gateways -}}
{{- $secrets = append $secrets (dict "namespace" .namespace "name" .secret "written" (not .publication)) -}}
{{- range compact (list (include "operator.record" .) .publication) -}}
{{- $secrets = append $secrets (dict "namespace" $gateway.namespace "name" . "written" true) -}}
{{- end -}}
{{- $secrets = append $secrets (dict "namespace" .namespace "name" .credentials "written" false) -}}
{{- end -}}
{{ $secrets | uniq | toJson }}
{{- end }}

{{- /* operator.binding binds a Role or ClusterRole to the operator. */ -}}
{{- define "operator.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "operator.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
- kind: ServiceAccount
  name: {{ include "operator.serviceAccount" .root }}
  namespace: {{ .root.Release.Namespace }}
{{- end }}

{{- /* operator.role is a Role or ClusterRole with rules, and what binds it to the operator. */ -}}
{{- define "operator.role" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "operator.labels" .root | nindent 4 }}
rules: {{- toYaml .rules | nindent 0 }}
---
{{ include "operator.binding" . }}
{{ end }}
