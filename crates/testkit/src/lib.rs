//! Not published: fakes, the explorer, conformance suites, real servers for tests.

pub mod conformance;
pub mod explorer;
pub mod fake;
pub mod mutate;
pub mod rig;
pub mod servers;
