{{ if eq $list "containers" }}
{{ $unready := printf "containers with unready status: [%s]" $c }}
- {type: Ready, status: "False", reason: ContainersNotReady, message: {{ $unready | Quote }}}
- {type: ContainersReady, status: "False", reason: ContainersNotReady, message: {{ $unready | Quote }}}
{{ end }}
