{{- define "weft.labels" -}}
app.kubernetes.io/name: weft
app.kubernetes.io/part-of: weft
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "weft.controlPlaneLabels" -}}
{{ include "weft.labels" . }}
app: weft-control-plane
{{- end -}}

{{/* Cluster-wide objects of two releases must not meet. */}}
{{- define "weft.clusterName" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
{{- if eq $root.Release.Namespace "weft-system" -}}{{ $name }}{{- else -}}{{ printf "%s-%s" $name $root.Release.Namespace }}{{- end -}}
{{- end -}}

{{- define "weft.image" -}}
{{- with .Values.image -}}
{{- if hasPrefix "@" .tag -}}{{ .repository }}{{ .tag }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "weft.webhookClient" -}}
{{- $root := index . 0 -}}{{- $path := index . 1 -}}
service:
  name: weft-control-plane
  namespace: {{ $root.Release.Namespace }}
  path: {{ $path }}
  port: 443
{{- end -}}
