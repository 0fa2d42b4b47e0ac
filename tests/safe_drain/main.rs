//! One test binary, so that all its tests share one control plane.
