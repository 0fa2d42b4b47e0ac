apiVersion: v1
kind: Event
metadata:
  name: {{ printf "%s.%s" .metadata.name (sha256sum (printf "%s %s %s" .metadata.uid $reason $message) | trunc 16) | Quote }}
  labels: {sim.test/repeat: {{ if eq $repeat "0" }}"0"{{ else }}{{ or (index $a "sim.test/event-count") $repeat | Quote }}{{ end }}}
  annotations: {sim.test/period: {{ or (index $a "sim.test/event-period") "2s" | Quote }}}
involvedObject:
  apiVersion: v1
  kind: Pod
  namespace: {{ .metadata.namespace | Quote }}
  name: {{ .metadata.name | Quote }}
  uid: {{ .metadata.uid | Quote }}
  {{ if $of }}fieldPath: {{ printf "spec.%s{%s}" $list $of | Quote }}{{ end }}
type: {{ $type }}
reason: {{ $reason }}
message: {{ $message | Quote }}
count: {{ $count }}
{{ if eq (int $count) 1 }}firstTimestamp: {{ Now | Quote }}{{ end }}
lastTimestamp: {{ Now | Quote }}
source: {component: kubelet, host: {{ .spec.nodeName | Quote }}}
reportingComponent: kubelet
reportingInstance: {{ .spec.nodeName | Quote }}
