//! `handover plan`: what a rotation would do, or what stands in its way.

use handover_api::{PlanView, path};

use super::group;
use crate::cli::OneGroup;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

pub(crate) async fn run(arguments: &OneGroup, printer: &Printer) -> Result<(), Failure> {
    let group = group(&arguments.group)?;
    let remote = Remote::new(&arguments.server)?;
    let plan: PlanView = remote.get(&path::group(path::PLAN, group.as_str())).await?;
    printer.data(&plan, text)?;
    if plan.obstacles.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!("a rotation of {group} would be refused"))
        .hint(format!("clear what stands in the way, then look again with `handover plan {group}`")))
}

fn text(plan: &PlanView) -> String {
    let mut lines = Vec::new();
    if plan.obstacles.is_empty() {
        lines.push(format!("{}, {}:", plan.group, plan.strategy));
        for step in &plan.steps {
            lines.push(format!("  {:<10} {}", step.phase, step.text));
            lines.extend(step.deadline.as_ref().map(|deadline| format!("  {:<10} {deadline}", "")));
        }
    } else {
        lines.push(format!("{}: in the way:", plan.group));
        for obstacle in &plan.obstacles {
            lines.push(format!("  - {}", obstacle.text));
            lines.push(format!("    hint: {}", obstacle.hint));
        }
    }
    lines.join("\n")
}
