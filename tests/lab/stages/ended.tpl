{{ $reason := "Error" }}{{ $code := or (index $a "sim.test/exit-code") "" }}
{{ if has $plays (list "liveness" "startup" "poststart") }}{{ $code = or $code "0" }}{{ end }}
{{ if eq $plays "oom" }}{{ $code = "137" }}{{ $reason = "OOMKilled" }}{{ end }}
{{ $code = or $code "1" }}{{ if eq $code "0" }}{{ $reason = "Completed" }}{{ end }}
{{ if ne $list "initContainers" }}
{{ if eq .spec.restartPolicy "Never" }}phase: {{ if eq $code "0" }}Succeeded{{ else }}Failed{{ end }}{{ end }}
conditions:
@unready
{{ end }}
{{ range $key := list "initContainerStatuses" "containerStatuses" }}
{{ with index $.status $key }}
{{ $key }}:
{{ range . }}
{{ if and (eq .name $c) .state.running }}
{{ $end := dict "exitCode" (int $code) "reason" $reason "containerID" .containerID "startedAt" .state.running.startedAt "finishedAt" $now }}
{{ with index $a "sim.test/message" }}{{ if ne $plays "poststart" }}{{ $_ := set $end "message" . }}{{ end }}{{ end }}
{{ $fell := deepCopy . }}{{ $_ := set $fell "ready" false }}{{ $_ := set $fell "started" false }}
{{ if eq $plays "poststart" }}
{{ $why := dict "reason" "PostStartHookError" "message" (or (index $a "sim.test/message") "PostStart hook failed") }}
{{ $_ := set $fell "state" (dict "waiting" $why) }}{{ $_ := set $fell "lastState" (dict "terminated" $end) }}
{{ else }}
{{ $_ := set $fell "state" (dict "terminated" $end) }}
{{ end }}
- {{ toJson $fell }}
{{ else }}
- {{ toJson . }}
{{ end }}
{{ end }}
{{ end }}
{{ end }}
