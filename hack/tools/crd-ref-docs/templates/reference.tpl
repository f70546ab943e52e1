{{- define "gvList" -}}
<!-- Generated from the types in api/ by "make generate": a change here is lost. -->
# API reference
{{ range . }}
Every field of the resource, as the types say it. [The FlexRegistration resource](flexregistration.md) tells it by what one wants to do;
`kubectl explain flexregistration --recursive` shows the same from the cluster.

`apiVersion: {{ .GroupVersionString }}`. A Time is written as in RFC 3339, a Duration in hours, minutes and seconds, such as `720h`. What breaks a
rule is refused by the API server, with that sentence.
{{ range .SortedTypes }}{{ if hasPrefix "FlexRegistration" .Name }}{{ template "type" . }}{{ end }}{{ end }}
{{- range .SortedTypes }}{{ if not (hasPrefix "FlexRegistration" .Name) }}{{ template "type" . }}{{ end }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "type" -}}
{{- if markdownShouldRenderType . }}
## {{ .Name }}

{{ trim .Doc }}
{{ if .References }}
In {{ range $i, $t := .SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $t }}{{ end }}.
{{ end -}}
{{- range index .Markers "kubebuilder:validation:XValidation" }}
- Rule: {{ .Message }}.
{{- end }}{{ if index .Markers "kubebuilder:validation:XValidation" }}
{{ end }}
{{- if .EnumValues }}
| value | what it says |
| --- | --- |
{{- range .EnumValues }}
| `{{ .Name }}` | {{ template "prose" .Doc }} |
{{- end }}
{{ else if .Members }}
| field | type | what it says |
| --- | --- | --- |
{{- range .Members }}
| `{{ .Name }}` | {{ template "kind" . }} | {{ if eq .Name "metadata" }}the object's metadata, as of every object in Kubernetes{{ else }}{{ template "prose" .Doc }}{{ end }}{{ template "rules" . }} |
{{- end }}
{{ end }}
{{- end }}
{{- end -}}

{{- define "prose" -}}
{{ regexReplaceAll "\\s+" (markdownRenderFieldDoc . | replace "<br />" " ") " " | trim }}
{{- end -}}

{{- define "kind" -}}
{{ regexReplaceAll "\\[([A-Za-z]+)\\]\\(https?:[^)]*\\)" (markdownRenderType .Type) "$1" }}
{{- end -}}

{{- define "rules" -}}
{{- range .Validation -}}
{{ if hasPrefix "MaxLength" . }} At most{{ trimPrefix "MaxLength:" . }} characters.{{ end -}}
{{ if hasPrefix "MaxItems" . }} At most{{ trimPrefix "MaxItems:" . }} items.{{ end -}}
{{ if hasPrefix "Enum" . }} One of:{{ trimPrefix "Enum:" . | replace "[" "" | replace "]" "" }}.{{ end -}}
{{ if hasPrefix "Required" . }} **Required.**{{ end -}}
{{- end -}}
{{- if not (index .Type.Markers "kubebuilder:validation:XValidation") }}{{ range index .Markers "kubebuilder:validation:XValidation" }} Rule: {{ .Message }}.{{ end }}{{ end -}}
{{- end -}}
