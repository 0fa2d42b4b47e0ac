//! The verdict on a rollout: from findings, and from how long and how often they are there.
