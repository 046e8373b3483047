//! What the example says, word for word.

#[path = "../examples/secret_rotation.rs"]
#[expect(dead_code, reason = "its main only prints")]
mod secret_rotation;

use std::sync::{Arc, Mutex};

const SAID: &str = "\
start
  audit: config ran, at first: Finished
  connected to postgres://db-1:5432 with sk-i****live
  audit: db-client ran, at first: Finished
rotation 1: asked for
  published 2: sk-i****live
  closed the connection to postgres://db-1:5432 with sk-i****live
  connected to postgres://db-1:5432 with sk-i****live
  audit: db-client ran, db.prod.api_key: Finished
rotation 2: by the clock
  published 3: sk-i****live
  closed the connection to postgres://db-1:5432 with sk-i****live
  connected to postgres://db-1:5432 with sk-i****live
  audit: db-client ran, db.prod.api_key: Finished
rotation 3: endpoint and key
  published 4: sk-i****live
  closed the connection to postgres://db-1:5432 with sk-i****live
  audit: config ran, endpoint: Finished
  connected to postgres://db-2:5432 with sk-i****live
  audit: db-client ran, endpoint, db.prod.api_key: Finished
4 connects, 0 refused, the client is Healthy
  closed the connection to postgres://db-2:5432 with sk-i****live
Some([redacted])";

#[test]
fn the_example_connects_four_times_and_shows_no_key() {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&said);
    secret_rotation::run(&(Arc::new(move |line| into.lock().unwrap().push(line)) as _)).unwrap();
    let said = said.lock().unwrap().join("\n");
    assert_eq!(said.split_once('\n').unwrap(), ("  published 1: sk-i****live", SAID));
}
