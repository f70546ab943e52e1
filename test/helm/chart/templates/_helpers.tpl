{{- define "flex-gateway.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "flex-gateway.secret" -}}
{{ .Values.registration.secretName | default (printf "%s-registration" .Release.Name) }}
{{- end }}
