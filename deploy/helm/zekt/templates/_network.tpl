{{/* Takes (list $ service facts): who may call a service, and on which port. */}}
{{- define "zekt.callers" -}}
{{- $root := index . 0 -}}
{{- $service := index . 1 -}}
{{- $public := (index . 2).public -}}
{{- if and (or $public.exact $public.below) $root.Values.networkPolicy.gateway }}
- from:
    {{- toYaml $root.Values.networkPolicy.gateway | nindent 4 }}
  ports:
    - {port: 8080, protocol: TCP}
{{- end }}
{{- if eq $service "ingress" }}
- from:
    - podSelector:
        matchLabels:
          {{- include "zekt.selector" (list $root "ping") | nindent 10 }}
  ports:
    - {port: 8080, protocol: TCP}
{{- end }}
{{- if eq $service "identity" }}
# Public keys are for all services; which of them may look up tokens is in their service token's roles.
- from:
    - podSelector:
        matchLabels:
          app.kubernetes.io/name: zekt
          app.kubernetes.io/instance: {{ $root.Release.Name }}
        matchExpressions:
          - key: app.kubernetes.io/component
            operator: In
            values: [dispatcher, ingress, router]
  ports:
    - {port: 8079, protocol: TCP}
{{- end }}
{{- end -}}

{{/* Takes $: where names are looked up. */}}
{{- define "zekt.dns" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* Takes $: GitHub and, where they are used, Azure's services: https, and AMQP for Service Bus. */}}
{{- define "zekt.outside" -}}
- to:
    {{- toYaml .Values.networkPolicy.outside | nindent 4 }}
  ports:
    - {port: 443, protocol: TCP}
    {{- if eq .Values.backend "azure" }}
    - {port: 5671, protocol: TCP}
    {{- end }}
{{- end -}}
