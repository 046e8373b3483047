//! The Handover server and command line.
fn main() {}
