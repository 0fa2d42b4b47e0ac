{{ $a := or .metadata.annotations dict }}
{{ $plays := or (index $a "sim.test/plays") "" }}
{{ $c := or (index $a "sim.test/culprit") (index $a "sim.test/container") (index .spec.containers 0).name }}
{{ $list := "containers" }}{{ $image := "" }}{{ $restarts := 0 }}{{ $tries := 0 }}
{{ range .spec.containers }}{{ if eq .name $c }}{{ $image = .image }}{{ end }}{{ end }}
{{ range .spec.initContainers }}{{ if eq .name $c }}{{ $image = .image }}{{ $list = "initContainers" }}{{ end }}{{ end }}
{{ range concat (or .status.initContainerStatuses list) (or .status.containerStatuses list) }}{{ if eq .name $c }}
{{ $restarts = int .restartCount }}
{{ $tries = int (dig "allocatedResources" "sim.test/tries" "0" .) }}
{{ end }}{{ end }}
