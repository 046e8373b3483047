//! State: where rows, sealed candidates and history are kept.
