{{/* The names of what is installed. A part is a service, `provision`, `ping` or `collector`. */}}

{{- define "zekt.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Takes (list $ part): the part's name. */}}
{{- define "zekt.name" -}}
{{- printf "%s-%s" (include "zekt.fullname" (first .)) (last .) -}}
{{- end -}}

{{/* Takes (list $ part): what selects the part's pods, for ever. */}}
{{- define "zekt.selector" -}}
app.kubernetes.io/name: zekt
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* Takes (list $ part): the labels of all that belongs to the part. */}}
{{- define "zekt.labels" -}}
{{ include "zekt.selector" . }}
app.kubernetes.io/part-of: zekt
app.kubernetes.io/version: {{ (first .).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (first .).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (first .).Chart.Name (first .).Chart.Version }}
{{- end -}}

{{/* Takes (list $ image): a reference to one of our images, by digest where there is one. */}}
{{- define "zekt.image" -}}
{{- $image := (first .).Values.image -}}
{{- $digest := get $image.digests (last .) -}}
{{- $place := ternary (printf "@%s" $digest) (printf ":%s" (default (first .).Chart.AppVersion $image.tag)) (not (empty $digest)) -}}
{{- printf "%s/%s%s" $image.prefix (last .) $place -}}
{{- end -}}

{{/* The host that people, GitHub and workflows ask for; nothing where the URL is of this machine. */}}
{{- define "zekt.host" -}}
{{- $host := (urlParse .Values.publicUrl).host | splitList ":" | first -}}
{{- if not (has $host (list "localhost" "127.0.0.1")) -}}{{ $host }}{{- end -}}
{{- end -}}

{{/* Takes a URL: its port, also where it goes without saying. */}}
{{- define "zekt.port" -}}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}
