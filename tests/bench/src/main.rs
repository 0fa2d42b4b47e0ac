//! Benchmarks that print ratios against kubectl in the same run.

fn main() {}
