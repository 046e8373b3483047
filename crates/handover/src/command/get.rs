//! `handover get`: fetches a published value with a consumer's token, and says what became of it.
//!
//! A fetch counts: whoever fetches is waited for in each rotation from then on. One who is not waited for yet must say
//! so with `--join`, or look with `--peek`, so that neither a value is disabled under somebody's feet nor a rotation waits
//! for one who only looked, by surprise.

use std::io::IsTerminal as _;

use handover_api::proof::Claim;
use handover_api::{Ack, Delivered, ITEM_VALUE, Reach, path};
use handover_secret::Secret;
use zeroize::Zeroizing;

use super::group;
use crate::cli::{Get, Output, Vouched};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;
use crate::terminal;

pub(crate) async fn run(arguments: &Get, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let shows_value = arguments.field.is_none() || printer.output() == Output::Json;
    let terminal = std::io::stdout().is_terminal();
    if shows_value && terminal && !arguments.reveal {
        // Before anything is asked of the server: nothing is recorded as read that nobody gets.
        return Err(Failure::error("the value would be shown on a terminal")
            .hint("send it into a file or a program, or show it with --reveal"));
    }
    let remote = Remote::new(&arguments.server)?;
    let count = if arguments.peek {
        "?count=peek"
    } else if arguments.join {
        ""
    } else {
        "?count=expected"
    };
    let delivered: Delivered = remote.get(&format!("{}{count}", path::group(path::SECRET, group.as_str()))).await?;
    match (&arguments.field, printer.output()) {
        (_, Output::Json) => printer.secret(&json(&delivered)?)?,
        (Some(field), Output::Text) => {
            let text = delivered.fields.get(field).ok_or_else(|| no_such_field(field, &delivered))?;
            printer.raw(text.as_bytes())?;
        }
        // As it is: a line feed is not part of it. Only a terminal gets one.
        (None, Output::Text) if terminal => printer.secret(&delivered.value)?,
        (None, Output::Text) => printer.secret_as_it_is(&delivered.value)?,
    }
    if arguments.peek {
        printer.say(&format!(
            "This was a look: {group} may disable the value without waiting for `{}`.",
            delivered.consumer
        ));
        return Ok(());
    }
    // After the value was written: what broke off before is not vouched for.
    vouch(&remote, &delivered, reach(arguments.ack)).await
}

/// It holds the value.
fn json(delivered: &Delivered) -> Result<Secret, Failure> {
    let text = serde_json::to_string(delivered).map(Zeroizing::new);
    let text = text.map_err(|_| Failure::error("the answer could not be written as JSON"))?;
    Ok(Secret::from_text(terminal::text(&text).into_owned()))
}

async fn vouch(remote: &Remote, delivered: &Delivered, reach: Reach) -> Result<(), Failure> {
    let path = path::group(path::ACK, &delivered.group);
    for role in &delivered.roles {
        let claim = Claim {
            identity: &delivered.consumer,
            group: &delivered.group,
            publication: delivered.publication,
            generation: delivered.generation,
            item: ITEM_VALUE,
            reach,
            nonce: &delivered.nonce,
        };
        let ack = Ack {
            role: *role,
            publication: delivered.publication,
            generation: delivered.generation,
            item: ITEM_VALUE.to_owned(),
            reach,
            nonce: delivered.nonce,
            proof: claim.prove(&delivered.value),
        };
        remote.order(&path, &ack).await?;
    }
    Ok(())
}

fn no_such_field(field: &str, delivered: &Delivered) -> Failure {
    let known: Vec<&str> = delivered.fields.keys().map(String::as_str).collect();
    Failure::refused(format!("{} publishes no field {field:?}", delivered.group))
        .hint(format!("it publishes: {}", known.join(", ")))
}

const fn reach(vouched: Vouched) -> Reach {
    match vouched {
        Vouched::Delivered => Reach::Delivered,
        Vouched::Loaded => Reach::Loaded,
        Vouched::Used => Reach::Used,
    }
}
