//! Drain and rollout decisions: values in, values out.
