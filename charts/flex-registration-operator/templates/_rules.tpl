{{- /*
operator.rules are, as {"rules": [...]}, those of a file, less what the renewer and the scope don't need. The files are copies of
those in config/rbac. "only" is a namespace whose Secrets are named, for scope secrets.
*/ -}}
{{- define "operator.rules" -}}
{{- $rules := list -}}
{{- $jobs := and (eq .root.Values.renewer "job") (not .root.Values.observeOnly) -}}
{{- range (.root.Files.Get (printf "files/%s" .file) | fromYaml).rules -}}
  {{- $rule := . -}}
  {{- range .resources -}}
    {{- $one := dict "apiGroups" $rule.apiGroups "resources" (list .) "verbs" $rule.verbs -}}
    {{- $core := has "" $rule.apiGroups -}}
    {{- if and (not $.root.Values.experienceHub.enabled) (hasPrefix "experiencehubconnections" .) }}
      {{- /* Only who watches connections of API Experience Hub needs these. */ -}}
    {{- else if and (not $jobs) (or (has . (list "jobs" "serviceaccounts" "resourcequotas")) (and $core (eq . "events"))) -}}
      {{- /* Only renewals in Jobs need these, */ -}}
    {{- else if and (not $jobs) (eq . "pods") -}}
      {{- /* and watch pods; those of gateways are listed. */ -}}
      {{- $rules = append $rules (set $one "verbs" (list "list")) -}}
    {{- else if and $.only $core (eq . "secrets") -}}
      {{- range include "operator.secrets" $.root | fromJsonArray -}}
        {{- if eq .namespace $.only -}}
          {{- $verbs := list -}}
          {{- $wanted := .written | ternary (list "get" "list" "update" "watch") (list "get" "list" "watch") -}}
          {{- range $rule.verbs }}{{ if has . $wanted }}{{ $verbs = append $verbs . }}{{ end }}{{ end -}}
          {{- $rules = append $rules (dict "apiGroups" $rule.apiGroups "resources" (list "secrets") "resourceNames" (list .name) "verbs" $verbs) -}}
        {{- end -}}
      {{- end -}}
    {{- else -}}
      {{- $rules = append $rules $one -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{ dict "rules" $rules | toJson }}
{{- end }}
