//! `kubectl safe-drain` against a real control plane: everything is in the test `safe_drain`.
