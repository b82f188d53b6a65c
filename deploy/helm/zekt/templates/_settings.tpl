{{/* Takes $: the settings that all services share; what is empty is left out. */}}
{{- define "zekt.sharedSettings" -}}
{{- $values := .Values -}}
ZEKT_BACKEND: {{ $values.backend | quote }}
ZEKT_LOG_FORMAT: json
ZEKT_PUBLIC_URL: {{ $values.publicUrl | quote }}
ZEKT_IDENTITY_URL: http://{{ include "zekt.name" (list . "identity-internal") }}:8079
ZEKT_GITHUB_APP_ID: {{ $values.github.appId | int64 | quote }}
ZEKT_GITHUB_API_URL: {{ $values.github.apiUrl | quote }}
ZEKT_GITHUB_OIDC_ISSUER: {{ $values.github.oidcIssuer | quote }}
ZEKT_GITHUB_OIDC_AUDIENCE: {{ $values.github.oidcAudience | quote }}
ZEKT_GITHUB_OAUTH_CLIENT_ID: {{ $values.github.oauthClientId | quote }}
{{- $operators := list }}
{{- range $values.operators }}{{ $operators = append $operators (int64 .) }}{{ end }}
ZEKT_OPERATORS: {{ join "," $operators | quote }}
ZEKT_DEFAULT_SKU: {{ $values.defaultSku | quote }}
ZEKT_TRUSTED_PROXIES: {{ join "," $values.gateway.trustedProxies | quote }}
{{- include "zekt.azureSettings" . }}
{{- include "zekt.trustSettings" . }}
{{- include "zekt.telemetrySettings" . }}
{{- if $values.trustedCertificates.configMap }}
SSL_CERT_FILE: /etc/zekt/trust/{{ $values.trustedCertificates.key }}
REQUESTS_CA_BUNDLE: /etc/zekt/trust/{{ $values.trustedCertificates.key }}
{{- end }}
{{- end -}}

{{/* Takes $: where Azure's services are. */}}
{{- define "zekt.azureSettings" -}}
{{- if eq .Values.backend "azure" }}
ZEKT_SERVICEBUS_NAMESPACE: {{ .Values.azure.servicebusNamespace | quote }}
ZEKT_COSMOS_ENDPOINT: {{ .Values.azure.cosmosEndpoint | quote }}
ZEKT_COSMOS_KEYS_ENDPOINT: {{ .Values.azure.cosmosKeysEndpoint | quote }}
ZEKT_COSMOS_DATABASE: {{ .Values.azure.cosmosDatabase | quote }}
ZEKT_BLOB_URL: {{ .Values.azure.blobUrl | quote }}
{{- end }}
{{- end -}}

{{/* Takes $: what wraps the data keys, and who vouches for services. */}}
{{- define "zekt.trustSettings" -}}
{{- if eq .Values.backend "azure" }}
ZEKT_KEYVAULT_URL: {{ .Values.azure.keyVaultUrl | quote }}
ZEKT_ENTRA_TENANT_ID: {{ .Values.entra.tenantId | quote }}
ZEKT_ENTRA_AUDIENCE: {{ .Values.entra.audience | quote }}
ZEKT_ENTRA_AUTHORITY: {{ .Values.entra.authority | quote }}
{{- end }}
{{- end -}}

{{/* Takes $: whom telemetry is sent to; nobody takes traces from the collector unless it has an address to pass them on to. */}}
{{- define "zekt.telemetrySettings" -}}
{{- $telemetry := .Values.telemetry -}}
{{- if $telemetry.collector.enabled }}
OTEL_EXPORTER_OTLP_ENDPOINT: http://{{ include "zekt.name" (list . "collector") }}:4318
OTEL_TRACES_EXPORTER: {{ ternary "otlp" "none" (not (empty $telemetry.collector.passTracesTo)) }}
{{- else if $telemetry.otlpEndpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ $telemetry.otlpEndpoint }}
{{- end }}
{{- end -}}

{{/* Takes (list $ service): all settings of the service that are no secret. */}}
{{- define "zekt.settings" -}}
{{- $values := get (first .).Values.services (last .) -}}
{{- $settings := merge (dict) $values.settings (include "zekt.sharedSettings" (first .) | fromYaml) -}}
{{- if eq (first .).Values.backend "azure" -}}
{{- $_ := set $settings "ZEKT_ENTRA_CLIENT_ID" $values.clientId -}}
{{- end -}}
{{- range $setting, $value := $settings -}}
{{- if ne (toString $value) "" }}
{{ $setting }}: {{ toString $value | quote }}
{{- end }}
{{- end }}
{{- end -}}
