//! The `handback` command.

fn main() {}
