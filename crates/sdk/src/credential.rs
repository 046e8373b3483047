//! A fetched credential.

use std::collections::BTreeMap;

use handover_api::proof::Claim;
use handover_api::{Ack, Delivered, ITEM_VALUE, Nonce, Reach, Role};
use handover_secret::Secret;

use crate::live::Versioned;

/// One publication of a group, whole: the value and what belongs to it. `Debug` redacts the value.
#[derive(Debug)]
pub struct Credential {
    group: String,
    consumer: String,
    roles: Vec<Role>,
    publication: u64,
    generation: u64,
    fields: BTreeMap<String, String>,
    value: Secret,
    nonce: Nonce,
}

impl From<Delivered> for Credential {
    fn from(delivered: Delivered) -> Self {
        let Delivered { group, consumer, roles, publication, generation, fields, value, nonce } = delivered;
        Self { group, consumer, roles, publication, generation, fields, value, nonce }
    }
}

impl Credential {
    /// Whose value it is.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// To whom it was delivered.
    pub fn consumer(&self) -> &str {
        &self.consumer
    }

    /// Under which number it is published.
    pub const fn publication(&self) -> u64 {
        self.publication
    }

    /// Which generation it is. Falls in a rollback, so never order by it.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What is needed beside the value, by name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The user's name, where there is one.
    pub fn user(&self) -> Option<&str> {
        self.field("user")
    }

    /// The value.
    pub const fn value(&self) -> &Secret {
        &self.value
    }

    pub(crate) const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The acknowledgements to send for `reach`: one for each role.
    pub(crate) fn acks(&self, reach: Reach) -> Vec<Ack> {
        let claim = Claim {
            identity: &self.consumer,
            group: &self.group,
            publication: self.publication,
            generation: self.generation,
            item: ITEM_VALUE,
            reach,
            nonce: &self.nonce,
        };
        let proof = claim.prove(&self.value);
        let ack = |role| Ack {
            role,
            publication: self.publication,
            generation: self.generation,
            item: ITEM_VALUE.to_owned(),
            reach,
            nonce: self.nonce,
            proof: proof.clone(),
        };
        self.roles.iter().copied().map(ack).collect()
    }
}

impl Versioned for Credential {
    fn publication(&self) -> u64 {
        self.publication
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A credential for tests of other modules.
    pub(crate) fn credential(publication: u64, generation: u64) -> Credential {
        Credential::from(Delivered {
            group: "orders".to_owned(),
            consumer: "worker".to_owned(),
            roles: vec![Role::Presenter],
            publication,
            generation,
            fields: BTreeMap::from([("user".to_owned(), format!("orders_{generation}"))]),
            value: Secret::from_text(format!("password-{generation}")),
            nonce: Nonce([u8::try_from(publication).unwrap(); 32]),
        })
    }

    #[test]
    fn an_acknowledgement_proves_what_was_delivered() {
        let credential = credential(3, 2);
        let acks = credential.acks(Reach::Loaded);
        let [ack] = acks.as_slice() else { panic!("one role, one acknowledgement: {acks:?}") };
        let claim = Claim {
            identity: "worker",
            group: "orders",
            publication: 3,
            generation: 2,
            item: "value",
            reach: Reach::Loaded,
            nonce: &Nonce([3; 32]),
        };
        assert!(claim.verify(credential.value(), &ack.proof));
    }

    #[test]
    fn debug_shows_nothing_of_the_value() {
        assert!(!format!("{:?}", credential(1, 1)).contains("password"));
    }
}
