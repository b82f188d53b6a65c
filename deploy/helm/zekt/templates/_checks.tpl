{{/* Takes $: refuse values that contradict each other, naming everything that is wrong at once. */}}
{{- define "zekt.check" -}}
{{- $problems := concat (include "zekt.engineProblems" . | fromYamlArray) (include "zekt.identityProblems" . | fromYamlArray) (include "zekt.githubProblems" . | fromYamlArray) (include "zekt.gatewayProblems" . | fromYamlArray) (include "zekt.scalingProblems" . | fromYamlArray) (include "zekt.imageProblems" . | fromYamlArray) (include "zekt.telemetryProblems" . | fromYamlArray) -}}
{{- if $problems -}}
{{- fail (printf "\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "zekt.engineProblems" -}}
{{- $keys := .Values.secrets.keys -}}
{{- $azure := .Values.azure -}}
{{- if eq .Values.backend "azure" -}}
{{- if eq (empty $azure.servicebusNamespace) (empty $keys.servicebusConnection) }}
- "set azure.servicebusNamespace or secrets.keys.servicebusConnection, one of them"
{{- end }}
{{- if eq (empty $azure.blobUrl) (empty $keys.blobConnection) }}
- "set azure.blobUrl or secrets.keys.blobConnection, one of them"
{{- end }}
{{- if empty $azure.cosmosEndpoint }}
- "azure.cosmosEndpoint is not set: it is the URL of the Cosmos DB account"
{{- end }}
{{- if and $keys.cosmosKeysKey (empty $azure.cosmosKeysEndpoint) }}
- "secrets.keys.cosmosKeysKey is set, but azure.cosmosKeysEndpoint is not: say which account it opens"
{{- end }}
{{- if eq (empty $azure.keyVaultUrl) (empty $keys.masterKey) }}
- "set azure.keyVaultUrl or secrets.keys.masterKey, one of them: it wraps the data keys"
{{- end }}
{{- if empty .Values.entra.audience }}
- "entra.audience is not set: it is the application id of identity's API, which other services get tokens for"
{{- end }}
{{- else -}}
{{- if .Values.standby }}
- "standby is true, but backend is sqlite, whose volume is in one place"
{{- end }}
{{- range $name := list "masterKey" "servicebusConnection" "cosmosKey" "cosmosKeysKey" "blobConnection" }}
{{- if get $keys $name }}
- "secrets.keys.{{ $name }} is set, but backend is sqlite: set backend to azure, or leave the secret out"
{{- end }}
{{- end }}
{{- end -}}
{{- if and (or (eq .Values.backend "azure") .Values.secrets.keyVault.name) (empty .Values.entra.tenantId) }}
- "entra.tenantId is not set: it is the tenant of the services' identities"
{{- end }}
{{- if eq (empty .Values.secrets.existing) (empty .Values.secrets.keyVault.name) }}
- "set secrets.existing or secrets.keyVault.name, one of them"
{{- end }}
{{- end -}}

{{- define "zekt.identityProblems" -}}
{{- $isAzure := eq .Values.backend "azure" -}}
{{- range $service := list "dispatcher" "router" }}
{{- if and $isAzure (empty (include "zekt.clientId" (list $ $service))) }}
- "services.{{ $service }}.clientId is not set: without an identity in Entra ID it cannot look up tokens"
{{- end }}
{{- end }}
{{- $keys := .Values.secrets.keys -}}
{{- $azure := .Values.azure -}}
{{- $byToken := or $azure.servicebusNamespace $azure.blobUrl (empty $keys.cosmosKey) (and $azure.cosmosKeysEndpoint (empty $keys.cosmosKeysKey)) -}}
{{- range $part := list "ingress" "identity" "provision" }}
{{- $wraps := and $azure.keyVaultUrl (ne $part "provision") -}}
{{- $reads := and $.Values.secrets.keyVault.name (include "zekt.secrets" (list $ $part) | fromYaml) -}}
{{- $isThere := or (ne $part "provision") (eq (include "zekt.provisions" $) "true") -}}
{{- if and $isThere (empty (include "zekt.clientId" (list $ $part))) (or $reads (and $isAzure (or $byToken $wraps))) }}
- "{{ ternary $part (print "services." $part) (eq $part "provision") }}.clientId is not set: without an identity in Entra ID it enters neither Azure's services nor Key Vault"
{{- end }}
{{- end }}
{{- end -}}

{{- define "zekt.githubProblems" -}}
{{- if empty .Values.github.apiUrl }}
- "github.apiUrl is not set: it is where GitHub's REST API is, such as https://github.example.com/api/v3"
{{- end }}
{{- if empty .Values.github.oidcIssuer }}
- "github.oidcIssuer is not set: it is who signs workflows' tokens, such as https://github.example.com/_services/token"
{{- end }}
{{- end -}}

{{- define "zekt.gatewayProblems" -}}
{{- $gateway := .Values.gateway -}}
{{- if and $gateway.httpRoute.enabled (empty $gateway.httpRoute.parentRefs) }}
- "gateway.httpRoute.parentRefs is empty: name the Gateway that the route is for"
{{- end }}
{{- if and .Values.networkPolicy.enabled (or $gateway.ingress.enabled $gateway.httpRoute.enabled) (empty .Values.networkPolicy.gateway) }}
- "networkPolicy.gateway is empty: say which pods are the gateway, or nothing from outside arrives"
{{- end }}
{{- end -}}

{{- define "zekt.scalingProblems" -}}
{{- $root := . -}}
{{- range $service, $values := .Values.services -}}
{{- $scaling := $values.autoscaling -}}
{{- if and (ne $scaling.by "nothing") (eq $root.Values.backend "sqlite") }}
- "services.{{ $service }}.autoscaling.by is {{ $scaling.by }}, but backend is sqlite, which lives on one node"
{{- end }}
{{- if gt (int $scaling.least) (int $scaling.most) }}
- "services.{{ $service }}.autoscaling.least is above its most"
{{- end }}
{{- end -}}
{{- end -}}

{{/* A name without a registry's host is Docker Hub's, where anybody may register it, and what runs is given the App's key. */}}
{{- define "zekt.imageProblems" -}}
{{- $registry := .Values.image.prefix | splitList "/" | first -}}
{{- if empty .Values.image.prefix }}
- "image.prefix is not set: say where your images are, such as registry.example.com/zekt"
{{- else if not (or (eq .Values.image.pullPolicy "Never") (contains "." $registry) (contains ":" $registry)) }}
- "image.prefix names no registry, so that a stranger's image could be run: begin it with the registry's host, or set image.pullPolicy to Never"
{{- end }}
{{- end -}}

{{/* What no policy lets out is lost, and nobody is told. */}}
{{- define "zekt.telemetryProblems" -}}
{{- $telemetry := .Values.telemetry -}}
{{- if .Values.networkPolicy.enabled -}}
{{- if and $telemetry.collector.enabled $telemetry.collector.passTracesTo (empty .Values.networkPolicy.traces) }}
- "networkPolicy.traces is empty: say which peers telemetry.collector.passTracesTo leads to, or no trace arrives"
{{- end }}
{{- if and $telemetry.otlpEndpoint (not $telemetry.collector.enabled) (ne "443" (include "zekt.port" $telemetry.otlpEndpoint)) (empty .Values.networkPolicy.further) }}
- "networkPolicy.further is empty: say how services reach telemetry.otlpEndpoint, or no telemetry arrives"
{{- end }}
{{- end -}}
{{- end -}}
