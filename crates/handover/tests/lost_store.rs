//! A store file that is gone is an error with a next step, not a new and empty store.

use std::path::Path;

use handover_testkit::rig::{GROUP, Options, Rig};

#[test]
fn a_store_that_is_gone_is_not_made_anew() {
    let policy = "passes_min = 1\nquiet_min = \"5s\"\npoll = \"100ms\"".to_owned();
    let options = Options { consumers: Vec::new(), policy, fsync: false };
    let rig = Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap();
    rig.start(&[]).unwrap();
    rig.succeed(&["rotate", GROUP, "--wait"]).unwrap();
    rig.stop().unwrap();
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        let path = rig.path(name);
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
    let refused = rig.start(&[]).unwrap_err().to_string();
    assert!(refused.contains("store.db is not there, and group app is published in it"), "{refused}");
    assert!(refused.contains("hint: restore it from the backup"), "{refused}");
    assert!(!rig.path("store.db").exists(), "nothing was made in its place");
}
