//! Targets: the systems that accept a credential.
