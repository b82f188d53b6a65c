{{/* Takes (list $ part): the secrets that the part is given and that are in use, by their names in the values. */}}
{{- define "zekt.secrets" -}}
{{- $keys := (first .).Values.secrets.keys -}}
{{- $part := last . -}}
{{- $given := dict -}}
{{- range $name, $secret := ((first .).Files.Get "suite.yaml" | fromYaml).secrets -}}
{{- if and (has $part $secret.for) (get $keys $name) -}}
{{- $_ := set $given $name (set $secret "key" (get $keys $name)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end -}}

{{/* Takes (list $ part): the Kubernetes secret that the part reads: one that exists, or the copy of what is in Key Vault.
     The driver changes no copy that is there, so one with other secrets in it has another name. */}}
{{- define "zekt.secretName" -}}
{{- $values := (first .).Values -}}
{{- with $values.secrets.keyVault.name -}}
{{- $content := printf "%s %s" . (include "zekt.secrets" $) | sha256sum | trunc 8 -}}
{{- printf "%s-vault-%s" (include "zekt.name" $) $content -}}
{{- else -}}
{{- $values.secrets.existing -}}
{{- end -}}
{{- end -}}

{{/* Takes (list $ part): the secret settings of a container's environment. */}}
{{- define "zekt.secretSettings" -}}
{{- $secretName := include "zekt.secretName" . -}}
{{- range include "zekt.secrets" . | fromYaml }}
- name: {{ .setting }}
  {{- if .file }}
  value: /run/secrets/zekt/{{ .key }}
  {{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ $secretName }}
      key: {{ .key }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Takes (list $ part): the volumes of a part's secrets: its files and, with Key Vault, what makes the copy that they are in. */}}
{{- define "zekt.secretVolumes" -}}
{{- $secrets := include "zekt.secrets" . | fromYaml -}}
{{- if eq (include "zekt.hasSecretFiles" .) "true" }}
- name: secrets
  secret:
    secretName: {{ include "zekt.secretName" . }}
    defaultMode: 0440
    items:
      {{- range $secrets }}
      {{- if .file }}
      - key: {{ .key }}
        path: {{ .key }}
      {{- end }}
      {{- end }}
{{- end }}
{{- if and $secrets (first .).Values.secrets.keyVault.name }}
- name: key-vault
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes:
      secretProviderClass: {{ include "zekt.name" . }}
{{- end }}
{{- end -}}

{{/* Takes (list $ part): where a container has those volumes. */}}
{{- define "zekt.secretMounts" -}}
{{- if eq (include "zekt.hasSecretFiles" .) "true" }}
- name: secrets
  mountPath: /run/secrets/zekt
  readOnly: true
{{- end }}
{{- if and (include "zekt.secrets" . | fromYaml) (first .).Values.secrets.keyVault.name }}
- name: key-vault
  mountPath: /run/secrets/key-vault
  readOnly: true
{{- end }}
{{- end -}}

{{- define "zekt.hasSecretFiles" -}}
{{- $files := list -}}
{{- range include "zekt.secrets" . | fromYaml -}}
{{- if .file -}}{{- $files = append $files .key -}}{{- end -}}
{{- end -}}
{{- not (empty $files) -}}
{{- end -}}
