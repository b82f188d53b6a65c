{{/* What runs before an installation or an upgrade, as its own pod and account. */}}

{{/* Takes $: "true" where there is something to provision; who stands by leaves it to who runs. */}}
{{- define "zekt.provisions" -}}
{{- and (eq .Values.backend "azure") .Values.provision.enabled (not .Values.standby) -}}
{{- end -}}

{{/* Takes (list $ part): the identity in Entra ID that the part acts as; a ping acts as ingress does. */}}
{{- define "zekt.clientId" -}}
{{- $part := last . -}}
{{- $values := (first .).Values -}}
{{- if eq $part "provision" -}}{{ $values.provision.clientId }}
{{- else -}}{{ (get $values.services (ternary "ingress" $part (eq $part "ping"))).clientId }}
{{- end -}}
{{- end -}}

{{/* What the job needs has to be there before it. */}}
{{- define "zekt.beforeProvisioning" -}}
helm.sh/hook: pre-install,pre-upgrade,pre-rollback
helm.sh/hook-weight: "-10"
helm.sh/hook-delete-policy: before-hook-creation
{{- end -}}
