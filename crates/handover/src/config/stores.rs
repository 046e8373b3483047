//! What the configuration says of stores.

use std::collections::BTreeSet;

use super::findings::At;
use super::{Config, Group, STORE_EMBEDDED};

impl Config {
    /// What nobody can mean of remote stores, and of groups that name them.
    pub(super) fn check_stores(&self) -> Vec<(At, String)> {
        let mut wrong = Vec::new();
        let mut names = BTreeSet::from([STORE_EMBEDDED]);
        for (index, store) in self.remote_stores.iter().enumerate() {
            let name = store.name();
            wrong.extend(store.check().err().map(|fault| (At::RemoteStore(index), fault.detail)));
            if name == STORE_EMBEDDED {
                let words = "a remote_store is called embedded: that is the store of our own".to_owned();
                wrong.push((At::RemoteStore(index), words));
            } else if !names.insert(name) {
                wrong.push((At::RemoteStore(index), format!("remote_store {name} is there twice")));
            }
            if let Some(same) = self.remote_stores[..index].iter().find(|other| other.is_same_place(store)) {
                let words = format!("remote_store {name} publishes in the same place as {}", same.name());
                wrong.push((At::RemoteStore(index), words));
            }
        }
        for (index, group) in self.groups.iter().enumerate() {
            let found = group.check_stores(&names).into_iter();
            wrong.extend(found.map(|why| (At::Group(index), format!("group {}: {why}", group.name))));
        }
        wrong
    }
}

impl Group {
    /// Whether its values are handed out by the server itself.
    pub(crate) fn is_embedded(&self) -> bool {
        self.stores.iter().any(|store| store == STORE_EMBEDDED)
    }

    /// Whether nobody else hands them out.
    pub(super) fn is_embedded_alone(&self) -> bool {
        self.stores.iter().all(|store| store == STORE_EMBEDDED)
    }

    fn check_stores(&self, known: &BTreeSet<&str>) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.stores.is_empty() {
            wrong.push("stores is empty: nobody could fetch the value".to_owned());
        }
        let mut seen = BTreeSet::new();
        for store in self.stores.iter() {
            if !known.contains(store.as_str()) {
                let others: Vec<&str> = known.iter().copied().collect();
                wrong.push(format!("no remote_store is called {store}; there are: {}", others.join(", ")));
            }
            if !seen.insert(store) {
                wrong.push(format!("store {store} is there twice"));
            }
        }
        if !self.is_embedded() && !self.consumers.is_empty() {
            // They would be waited for, and could never acknowledge what this server does not hand out.
            wrong.push(
                "consumers fetch from the embedded store, and stores does not name it: add \"embedded\", or leave \
                 consumers out; then the target's evidence alone shows that the old value is out of use"
                    .to_owned(),
            );
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const STORE: &str = r#"
        [[remote_store]]
        kind = "vault"
        name = "bao"
        url = "https://bao.internal:8200"
        ca_file = "bao-ca.pem"
        auth = { kind = "approle", role_id = "handover", secret_id_file = "bao.secret" }
    "#;

    const GROUP: &str = r#"
        [[group]]
        name = "orders-db"
        stores = ["embedded", "bao"]
        consumers = [{ name = "pool" }]
        [group.target]
        kind = "postgres"
        endpoints = [{ name = "primary", host = "db.internal" }]
        database = "orders"
        ca_file = "ca.pem"
        owner = "orders"
        twins = ["orders_a", "orders_b"]
        admin = { user = "handover_admin", password_file = "admin.password" }
    "#;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/handover")).map_err(|wrong| {
            let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            told.join("\n")
        })
    }

    #[test]
    fn a_group_may_have_several_stores() {
        let config = parse(&format!("{STORE}{GROUP}")).unwrap();
        assert_eq!(config.groups[0].stores.as_slice(), ["embedded", "bao"]);
        let store = &config.remote_stores[0];
        assert_eq!(store.credential_file(), Path::new("/etc/handover/bao.secret"), "as all files");
        assert_eq!(store.ca_file(), Some(Path::new("/etc/handover/bao-ca.pem")));
        let alone = GROUP.replace("\"embedded\", ", "").replace("consumers = [{ name = \"pool\" }]", "");
        assert!(!parse(&format!("{STORE}{alone}")).unwrap().groups[0].is_embedded());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_words() {
        let both = |store: &str, group: &str| format!("{store}{group}");
        let cases = [
            (both("", GROUP), "group orders-db: no remote_store is called bao; there are: embedded"),
            (both(STORE, &GROUP.replace("\"embedded\", ", "")), "add \"embedded\", or leave"),
            (both(STORE, &GROUP.replace("\"embedded\", \"bao\"", "")), "stores is empty"),
            (both(STORE, &GROUP.replace("\"embedded\"", "\"bao\"")), "store bao is there twice"),
            (both(&STORE.replace("\"bao\"", "\"embedded\""), GROUP), "that is the store of our own"),
            (both(&STORE.replace("\"bao\"", "\"Bao!\""), ""), "the name of a store"),
            (format!("{STORE}{STORE}"), "remote_store bao is there twice"),
            (format!("{STORE}{}", STORE.replace("\"bao\"", "\"two\"")), "the same place as bao"),
            (STORE.replace("https", "http").replace("ca_file = \"bao-ca.pem\"", ""), "url must be https"),
            (format!("{STORE}path = \"../{{group}}\""), "path has parts of letters"),
            (format!("{STORE}path = \"app\""), "path must contain"),
            (format!("{STORE}retired = \"keep\""), "destroy"),
            (STORE.replace("approle", "password"), "`kind` must be"),
        ];
        for (text, words) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
