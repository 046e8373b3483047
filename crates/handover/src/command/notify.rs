//! `handover notify test`: tells a receiver that nothing happened.

use handover_adapters::notify::Event;
use handover_core::Timestamp;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::Serialize;

use crate::assembly;
use crate::cli::{Notify, NotifyTest};
use crate::config::Config;
use crate::failure::Failure;
use crate::near::close;
use crate::printer::Printer;

/// What was told.
#[derive(Serialize)]
struct Told {
    notify: String,
    /// What names the message: receivers drop what they had under it before.
    id: String,
}

pub(crate) async fn run(arguments: &Notify, printer: &Printer) -> Result<(), Failure> {
    match arguments {
        Notify::Test(arguments) => test(arguments, printer).await,
    }
}

async fn test(NotifyTest { name, config }: &NotifyTest, printer: &Printer) -> Result<(), Failure> {
    let config = Config::load(&config.config)?;
    let Some(notify) = config.notify.iter().find(|notify| notify.name() == name) else {
        let known = || config.notify.iter().map(|notify| notify.name().to_owned());
        let hint = match close(name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if config.notify.is_empty() => "it has no [[notify]] yet".to_owned(),
            None => format!("it has: {}", known().collect::<Vec<_>>().join(", ")),
        };
        return Err(Failure::error("the configuration has no such [[notify]]").hint(hint));
    };
    let notifier = assembly::notifier(notify)?;
    let mut id = [0; 16];
    OsRng.try_fill_bytes(&mut id).map_err(|_| Failure::error("the operating system gave no randomness"))?;
    let id = hex::encode(id);
    let at = Timestamp(jiff::Timestamp::now().as_millisecond());
    notifier.tell(&Event::test(id.clone(), at, "operator".to_owned())).await?;
    printer.data(&Told { notify: name.clone(), id }, |told| format!("{} has taken message {}", told.notify, told.id))
}
