@ends
.metadata.annotations["sim.test/crash-after"] // (if ends_when == "ready" then "1s" else "300ms" end)
