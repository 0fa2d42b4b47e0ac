//! `kubectl safe-drain`.

fn main() {}
