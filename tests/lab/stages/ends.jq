def culprit:
  .metadata.annotations["sim.test/culprit"] as $c
  | [.status.initContainerStatuses[]?, .status.containerStatuses[]?] | map(select(.name == $c))[0];
def ends_when:
  .metadata.annotations as $a
  | $a["sim.test/plays"] as $s
  | ([.spec.containers[] | select(.name == $a["sim.test/culprit"])][0]) as $spec
  | $a["sim.test/crash-when"]
    // (if $spec == null then "started"
        elif $s == "liveness" then "ready"
        elif ($s == "crash" or $s == "oom") and $spec.readinessProbe == null then "ready"
        else "started" end);
def ends:
  (.metadata.annotations["sim.test/crash-times"]
   // (if .metadata.annotations["sim.test/plays"] == "selfheal" then "1" else "999999" end) | tonumber) as $times
  | culprit.state.running != null and culprit.restartCount < $times and (ends_when == "started" or culprit.ready == true);
