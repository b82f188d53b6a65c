{{/* Takes $: the collector's configuration. */}}
{{- define "zekt.collectorConfig" -}}
extensions:
  health_check:
    endpoint: 0.0.0.0:13133
receivers:
  otlp:
    protocols:
      http:
        endpoint: 0.0.0.0:4318
processors:
  memory_limiter:
    check_interval: 1s
    limit_percentage: 80
    spike_limit_percentage: 20
  batch: {}
exporters:
  prometheus:
    endpoint: 0.0.0.0:9464
    metric_expiration: 5m
  {{- with .Values.telemetry.collector.passTracesTo }}
  otlphttp:
    endpoint: {{ . }}
  {{- end }}
service:
  extensions: [health_check]
  pipelines:
    metrics:
      receivers: [otlp]
      processors: [memory_limiter, batch]
      exporters: [prometheus]
    {{- if .Values.telemetry.collector.passTracesTo }}
    traces:
      receivers: [otlp]
      processors: [memory_limiter, batch]
      exporters: [otlphttp]
    {{- end }}
{{- end -}}
