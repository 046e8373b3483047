//! `handover rollback`, `hold`, `resume`, `abandon` and `force`: one order to a live rotation.

use handover_api::{OrderRequest, path};
use handover_core::Order;
use handover_engine::history::order_word;
use serde::Serialize;

use super::group;
use crate::cli::{Forced, Ordered, Server};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

/// To whom, and why.
pub(crate) struct Arguments {
    group: String,
    reason: Option<String>,
    server: Server,
}

impl From<Ordered> for Arguments {
    fn from(Ordered { group, reason, server }: Ordered) -> Self {
        Self { group, reason, server }
    }
}

impl From<Forced> for Arguments {
    fn from(Forced { group, reason, server }: Forced) -> Self {
        Self { group, reason: Some(reason), server }
    }
}

/// What was taken.
#[derive(Serialize)]
struct Taken {
    group: String,
    order: &'static str,
}

pub(crate) async fn run(order: Order, arguments: Arguments, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let template = match order {
        Order::Rollback => path::ROLLBACK,
        Order::Hold => path::HOLD,
        Order::Resume => path::RESUME,
        Order::Abandon => path::ABANDON,
        Order::Force => path::FORCE,
    };
    let remote = Remote::new(&arguments.server)?;
    remote.order(&path::group(template, group.as_str()), &OrderRequest { reason: arguments.reason }).await?;
    let taken = Taken { group: group.to_string(), order: order_word(order) };
    printer.data(&taken, |taken| format!("{}: {} ordered", taken.group, taken.order))
}
