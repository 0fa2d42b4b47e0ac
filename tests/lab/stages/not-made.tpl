{{ $word := "CreateContainerConfigError" }}{{ $map := "app-config" }}
{{ range concat (or .spec.initContainers list) .spec.containers }}{{ if eq .name $c }}
{{ range .envFrom }}{{ if .configMapRef }}{{ $map = .configMapRef.name }}{{ end }}{{ end }}
{{ range .env }}{{ with .valueFrom }}{{ if .configMapKeyRef }}{{ $map = .configMapKeyRef.name }}{{ end }}{{ end }}{{ end }}
{{ end }}{{ end }}
{{ $why := printf "configmap %q not found" $map }}
{{ if eq $plays "invalid-image" }}
{{ $word = "InvalidImageName" }}
{{ $why = printf "Failed to apply default image tag %q: couldn't parse image name %q: invalid reference format" $image $image }}
{{ else if eq $plays "run-error" }}
{{ $why = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"serve\": executable file not found in $PATH" }}
{{ end }}
{{ with index $a "sim.test/message" }}{{ $why = . }}{{ end }}
