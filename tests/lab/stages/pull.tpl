{{ $full := $image }}
{{ if not (contains "/" $image) }}{{ $full = printf "docker.io/library/%s" $image }}
{{ else if not (regexMatch "^[^/]*[.:][^/]*/" $image) }}{{ $full = printf "docker.io/%s" $image }}{{ end }}
{{ $path := regexReplaceAll "^[^/]*/(.*):[^:]*$" $full "${1}" }}{{ $host := regexFind "^[^/]*" $full }}{{ $tag := regexFind "[^:]*$" $full }}
{{ $failed := printf "failed to pull and unpack image %q: failed to resolve image: " $full }}
{{ $manifest := printf "https://%s/v2/%s/manifests/%s" $host $path $tag }}
{{ $why := printf "rpc error: code = NotFound desc = %s%s: not found" $failed $full }}
{{ if eq $plays "imagepull-denied" }}
{{ $why = printf "%spull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed" $failed }}
{{ else if eq $plays "imagepull-ratelimit" }}
{{ $why = printf "%sunexpected status from HEAD request to %s: 429 Too Many Requests" $failed $manifest }}
{{ else if has $plays (list "imagepull-timeout" "imagepull-heal") }}
{{ $why = printf "rpc error: code = DeadlineExceeded desc = %sfailed to do request: Head %q: net/http: timeout awaiting response headers" $failed $manifest }}
{{ end }}
{{ with index $a "sim.test/message" }}{{ $why = . }}{{ end }}
