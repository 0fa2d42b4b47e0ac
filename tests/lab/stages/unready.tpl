{{ $unready := list }}
{{ range .status.containerStatuses }}{{ if or (not .ready) (eq .name $c) }}{{ $unready = append $unready .name }}{{ end }}{{ end }}
{{ range $type := list "Ready" "ContainersReady" }}
{{ $was := "" }}{{ range $.status.conditions }}{{ if eq .type $type }}{{ $was = .status }}{{ end }}{{ end }}
- type: {{ $type }}
  status: "False"
  reason: ContainersNotReady
  message: {{ printf "containers with unready status: [%s]" (join " " $unready) | Quote }}
  {{ if ne $was "False" }}lastTransitionTime: {{ $now | Quote }}{{ end }}
{{ end }}
