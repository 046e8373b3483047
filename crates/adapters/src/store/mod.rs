//! Stores: where values are published.
