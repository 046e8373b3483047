//! The task that tells the controller how far a publication got, until it has heard it.

use std::sync::Arc;

use handover_api::Reach;
use tokio::sync::{Notify, watch};
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::credential::Credential;
use crate::error::Error;

/// How far the newest publication got here.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) credential: Arc<Credential>,
    pub(crate) reach: Reach,
}

/// Compares what was reached with what was acknowledged, and sends the difference. A lost acknowledgement is therefore
/// sent again, and one that was overtaken is not.
pub(crate) struct Acker {
    pub(crate) client: Client,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) used: watch::Receiver<u64>,
    pub(crate) deliver_again: Arc<Notify>,
}

impl Acker {
    pub(crate) async fn run(mut self) {
        let options = self.client.options.clone();
        let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
        let mut acked = None;
        loop {
            let Progress { credential, reach } = self.progress.borrow_and_update().clone();
            let used = *self.used.borrow_and_update() == credential.publication();
            let reach = if used && reach == Reach::Loaded { Reach::Used } else { reach };
            let owed = (credential.nonce(), credential.publication(), reach);
            if acked == Some(owed) {
                if !self.changed().await {
                    return;
                }
                continue;
            }
            match self.send(&credential, reach).await {
                Ok(()) => {
                    backoff.reset();
                    acked = Some(owed);
                }
                Err(error) => {
                    self.say(&error, &credential);
                    tokio::time::sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Waits for news. False once nobody can bring any.
    async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.progress.changed() => changed.is_ok(),
            changed = self.used.changed() => changed.is_ok(),
        }
    }

    async fn send(&self, credential: &Credential, reach: Reach) -> Result<(), Error> {
        for ack in credential.acks(reach) {
            self.client.acknowledge(credential.group(), &ack).await?;
        }
        debug!(
            group = credential.group(),
            publication = credential.publication(),
            reach = reach.word(),
            "acknowledged"
        );
        Ok(())
    }

    fn say(&self, error: &Error, credential: &Credential) {
        let (group, publication) = (credential.group(), credential.publication());
        if let Error::Refused(_) = error {
            warn!(group, publication, %error, "an acknowledgement was refused; asking for a new delivery");
            self.deliver_again.notify_one();
        } else {
            debug!(group, publication, %error, "an acknowledgement did not arrive; trying again");
        }
    }
}
