def seconds:
  capture("^(?<n>[0-9.]+)(?<unit>ms|s|m)$")
  | (.n | tonumber) * (if .unit == "ms" then 0.001 elif .unit == "s" then 1 else 60 end);
def fallen:
  ([.status.initContainerStatuses[]?
    | select((.state.terminated.exitCode // 0) != 0 or .state.waiting.reason == "CrashLoopBackOff")]
   + [.status.containerStatuses[]?
      | .state.waiting.reason as $why
      | select(.state.terminated != null
               or $why == "CrashLoopBackOff" or $why == "RunContainerError" or $why == "PostStartHookError")])[0];
def backing_off: fallen.state.waiting.reason == "CrashLoopBackOff";
def how: .metadata.annotations["sim.test/crash-state"] // "mixed";
def shows_back_off: fallen.restartCount as $n | how == "waiting" or (how == "mixed" and $n >= 2 and $n % 2 == 0);
def pause:
  fallen.restartCount as $n
  | .metadata.annotations["sim.test/backoff"] as $set
  | if $set == null then pow(2; [$n, 4] | min) else ($set | seconds) end;
def until_back_off: if how == "waiting" then [0.1, pause / 2] | min else pause * 0.8 end;
def until_restart: if backing_off then pause - until_back_off else pause end;
