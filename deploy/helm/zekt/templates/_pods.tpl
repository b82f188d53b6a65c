{{/* What every pod of ours has in common: it may do nothing but its work. */}}

{{- define "zekt.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "zekt.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Takes $: where pods may be put. */}}
{{- define "zekt.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Takes (list $ service): on one volume all services share a node; on Azure replicas keep away from each other. */}}
{{- define "zekt.spread" -}}
{{- $root := first . -}}
{{- if eq $root.Values.backend "sqlite" -}}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            app.kubernetes.io/name: zekt
            app.kubernetes.io/instance: {{ $root.Release.Name }}
          matchExpressions:
            - key: app.kubernetes.io/component
              operator: In
              values: {{ keys ($root.Files.Get "suite.yaml" | fromYaml).services | sortAlpha | toJson }}
{{- else -}}
topologySpreadConstraints:
  {{- range $key, $otherwise := dict "topology.kubernetes.io/zone" "ScheduleAnyway" "kubernetes.io/hostname" $root.Values.scheduling.whenNodesAreFew }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: {{ $otherwise }}
    matchLabelKeys: [pod-template-hash]
    nodeTaintsPolicy: Honor
    labelSelector:
      matchLabels:
        {{- include "zekt.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Takes (list $ part): the certificates of the authorities that a site has of its own, as a volume. */}}
{{- define "zekt.trustVolume" -}}
{{- with .Values.trustedCertificates.configMap }}
- name: trust
  configMap:
    name: {{ . }}
{{- end }}
{{- end -}}

{{- define "zekt.trustMount" -}}
{{- if .Values.trustedCertificates.configMap }}
- name: trust
  mountPath: /etc/zekt/trust
  readOnly: true
{{- end }}
{{- end -}}
