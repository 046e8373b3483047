//! `handover campaign plan`, `run`, `list`, `show`, `hold`, `resume`, `undo` and `cancel`.

use std::collections::BTreeMap;
use std::time::Duration;

use handover_api::{
    CampaignBegun, CampaignPlan, CampaignRequest, CampaignResume, CampaignState, CampaignView, Campaigns, First,
    LegState, OnFailure, OrderRequest, PAGE_MAX, Until, path,
};
use serde::Serialize;
use tokio::time::Instant;

use super::group;
use crate::cli::campaign as cli;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::remote::Remote;

/// How often is asked while waiting.
const POLL: Duration = Duration::from_millis(500);

/// How many times in a row the server may be away while waiting: a restart must not end the wait.
const AWAY_MAX: u32 = 120;

pub(crate) async fn run(arguments: cli::Campaign, printer: &Printer) -> Result<(), Failure> {
    match arguments {
        cli::Campaign::Plan(arguments) => plan(&arguments, printer).await,
        cli::Campaign::Run(arguments) => begin(&arguments, printer).await,
        cli::Campaign::List(arguments) => list(&arguments, printer).await,
        cli::Campaign::Show(arguments) => show(&arguments, printer).await,
        cli::Campaign::Hold(arguments) => order(&arguments, path::CAMPAIGN_HOLD, "hold", printer).await,
        cli::Campaign::Undo(arguments) => order(&arguments, path::CAMPAIGN_UNDO, "undo", printer).await,
        cli::Campaign::Cancel(arguments) => order(&arguments, path::CAMPAIGN_CANCEL, "cancel", printer).await,
        cli::Campaign::Resume(arguments) => resume(&arguments, printer).await,
    }
}

/// What is asked for, with names that fit into a path.
fn request(terms: &cli::CampaignTerms, reason: Option<String>) -> Result<CampaignRequest, Failure> {
    let cli::CampaignTerms { groups, all, with_dependants, first, parallel, until, on_failure } = terms;
    Ok(CampaignRequest {
        groups: groups.iter().map(|name| group(name).map(|group| group.to_string())).collect::<Result<_, _>>()?,
        all: *all,
        with_dependants: *with_dependants,
        first: match first {
            cli::First::Dependencies => First::Dependencies,
            cli::First::Dependants => First::Dependants,
        },
        parallel_max: Some(*parallel),
        until: match until {
            cli::Until::Adopted => Until::Adopted,
            cli::Until::Ended => Until::Ended,
        },
        on_failure: match on_failure {
            cli::OnFailure::Hold => OnFailure::Hold,
            cli::OnFailure::Undo => OnFailure::Undo,
            cli::OnFailure::GoOn => OnFailure::GoOn,
        },
        reason,
    })
}

async fn plan(arguments: &cli::CampaignPlan, printer: &Printer) -> Result<(), Failure> {
    let asked = request(&arguments.terms, None)?;
    let remote = Remote::new(&arguments.server)?;
    let CampaignRequest { groups, all, with_dependants, first, until, on_failure, .. } = &asked;
    let chosen = if *all { "all=true".to_owned() } else { format!("groups={}", groups.join(",")) };
    let query = format!(
        "{}?{chosen}&with_dependants={with_dependants}&first={}&parallel_max={}&until={}&on_failure={}",
        path::CAMPAIGN_PLAN,
        first.word(),
        arguments.terms.parallel,
        until.word(),
        on_failure.word()
    );
    let plan: CampaignPlan = remote.get(&query).await?;
    printer.data(&plan, plan_text)?;
    if let Some(taken) = plan.taken.first() {
        let words = format!("group {} is in campaign {}, which has not ended", taken.group, taken.campaign);
        return Err(Failure::refused(words).hint("let it end, or cancel it, and look again"));
    }
    if plan.layers.iter().flatten().any(|leg| !leg.obstacles.is_empty()) {
        return Err(Failure::refused("some of these rotations would be refused as things stand")
            .hint("clear what stands in the way, then look again; `handover plan GROUP` says more of one group"));
    }
    Ok(())
}

fn plan_text(plan: &CampaignPlan) -> String {
    let CampaignPlan { layers, parallel_max, until, on_failure, .. } = plan;
    let all: usize = layers.iter().map(Vec::len).sum();
    let mut lines = vec![format!(
        "{all} groups in {} layers, at most {parallel_max} at once; through {}; on failure {}",
        layers.len(),
        until_words(*until),
        on_failure_words(*on_failure)
    )];
    for (number, layer) in (1..).zip(layers) {
        for leg in layer {
            let after = if leg.after.is_empty() { String::new() } else { format!(", after {}", leg.after.join(", ")) };
            lines.push(format!("  {number}  {:<32} to generation {}{after}", leg.group, leg.generation));
            for obstacle in &leg.obstacles {
                lines.push(format!("     in the way: {} ({})", obstacle.text, obstacle.hint));
            }
        }
    }
    lines.join("\n")
}

const fn until_words(until: Until) -> &'static str {
    match until {
        Until::Adopted => "once all presenters have the new generation",
        Until::Ended => "once the rotation has ended",
    }
}

const fn on_failure_words(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Hold => "nothing else is started",
        OnFailure::Undo => "what can be undone is undone",
        OnFailure::GoOn => "what does not depend on it goes on",
    }
}

async fn begin(arguments: &cli::CampaignRun, printer: &Printer) -> Result<(), Failure> {
    let asked = request(&arguments.terms, arguments.reason.clone())?;
    let remote = Remote::new(&arguments.server)?;
    let begun: CampaignBegun = remote.post(path::CAMPAIGNS, &asked).await?;
    let number = begun.campaign;
    if !arguments.wait {
        printer.say(&format!("`handover campaign show {number}` shows how it goes."));
        return printer.data(&begun, |begun| format!("campaign {} began", begun.campaign));
    }
    let deadline = arguments.wait_max.map(|wait| Instant::now() + wait.0);
    let ended = follow(&remote, number, deadline, printer).await?;
    printer.data(&ended, view_text)?;
    let hint = format!("`handover campaign show {number}` says what each group came to");
    match ended.state {
        CampaignState::Success => Ok(()),
        CampaignState::Held => Err(Failure::refused(format!("campaign {number} is {}", ended.text)).hint(format!(
            "`handover campaign resume {number}` tries again, `undo {number}` takes back what can be taken back"
        ))),
        CampaignState::Running
        | CampaignState::Undoing
        | CampaignState::Cancelling
        | CampaignState::Partly
        | CampaignState::Undone
        | CampaignState::Cancelled => Err(Failure::refused(format!("campaign {number}: {}", ended.text)).hint(hint)),
    }
}

/// Shows each change until the campaign has ended, or is held.
async fn follow(
    remote: &Remote,
    number: u64,
    deadline: Option<Instant>,
    printer: &Printer,
) -> Result<CampaignView, Failure> {
    let (mut shown, mut away) = (BTreeMap::<String, LegState>::new(), 0);
    loop {
        match remote.get::<CampaignView>(&path::campaign(path::CAMPAIGN, number)).await {
            Ok(view) => {
                away = 0;
                for leg in view.layers.iter().flatten() {
                    let before = shown.insert(leg.group.clone(), leg.state);
                    if before != Some(leg.state) && (before.is_some() || leg.state != LegState::Waiting) {
                        printer.say(&format!("{}: {}", leg.group, leg.text));
                    }
                }
                if view.state.is_final() || view.state == CampaignState::Held {
                    return Ok(view);
                }
            }
            Err(_) if away < AWAY_MAX => away += 1,
            Err(failure) => return Err(failure),
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Failure::refused("the campaign has not ended in the time given; it goes on")
                .hint(format!("`handover campaign show {number}` shows where it stands")));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn list(arguments: &cli::CampaignList, printer: &Printer) -> Result<(), Failure> {
    let remote = Remote::new(&arguments.server)?;
    let mut all = Campaigns { campaigns: Vec::new(), next: None };
    loop {
        let before = all.next.take().map_or_else(String::new, |before| format!("&before={before}"));
        let query = format!("{}?live={}&limit={PAGE_MAX}{before}", path::CAMPAIGNS, arguments.live);
        let page: Campaigns = remote.get(&query).await?;
        all.campaigns.extend(page.campaigns);
        all.next = page.next;
        if all.next.is_none() {
            break;
        }
    }
    printer.data(&all, |all| match all.campaigns.as_slice() {
        [] => "there is no campaign".to_owned(),
        campaigns => campaigns.iter().map(line).collect::<Vec<_>>().join("\n"),
    })
}

fn line(view: &CampaignView) -> String {
    let CampaignView { campaign, state, text, asked_by, asked_at, .. } = view;
    format!("{campaign:<6} {:<12} {asked_at}  {asked_by:<20} {text}", state.word())
}

async fn show(arguments: &cli::CampaignShow, printer: &Printer) -> Result<(), Failure> {
    let remote = Remote::new(&arguments.server)?;
    let view: CampaignView = remote.get(&path::campaign(path::CAMPAIGN, arguments.campaign)).await?;
    printer.data(&view, view_text)
}

/// Where a campaign stands, for people.
fn view_text(view: &CampaignView) -> String {
    let CampaignView { campaign, state, text, asked_by, asked_at, parallel_max, until, on_failure, .. } = view;
    let mut lines = vec![format!("campaign {campaign}, {}: {text}", state.word())];
    let mut say = |name: &str, words: String| lines.push(format!("  {name:<12} {words}"));
    let reason = view.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    say("asked for", format!("by {asked_by} at {asked_at}{reason}"));
    say(
        "terms",
        format!(
            "at most {parallel_max} at once; through {}; on failure {}",
            until_words(*until),
            on_failure_words(*on_failure)
        ),
    );
    for (number, layer) in (1..).zip(&view.layers) {
        for leg in layer {
            say(&format!("layer {number}"), format!("{:<32} {:<10} {}", leg.group, leg.state.word(), leg.text));
        }
    }
    let kept = view.layers.iter().flatten().filter(|leg| leg.state == LegState::Kept);
    for leg in kept {
        say("you can", format!("handover rotate {}  start another rotation over what stays", leg.group));
    }
    for action in &view.actions {
        say("you can", format!("handover campaign {action} {campaign}"));
    }
    lines.join("\n")
}

/// What was taken.
#[derive(Serialize)]
struct Taken {
    campaign: u64,
    order: &'static str,
}

async fn order(
    arguments: &cli::CampaignOrdered,
    template: &str,
    word: &'static str,
    printer: &Printer,
) -> Result<(), Failure> {
    let cli::CampaignOrdered { campaign, reason, server } = arguments;
    let body = OrderRequest { reason: reason.clone() };
    Remote::new(server)?.order(&path::campaign(template, *campaign), &body).await?;
    taken(*campaign, word, printer)
}

async fn resume(arguments: &cli::CampaignResume, printer: &Printer) -> Result<(), Failure> {
    let cli::CampaignResume { campaign, skip_failed, reason, server } = arguments;
    let body = CampaignResume { skip_failed: *skip_failed, reason: reason.clone() };
    Remote::new(server)?.order(&path::campaign(path::CAMPAIGN_RESUME, *campaign), &body).await?;
    taken(*campaign, "resume", printer)
}

fn taken(campaign: u64, order: &'static str, printer: &Printer) -> Result<(), Failure> {
    let taken = Taken { campaign, order };
    printer.data(&taken, |taken| format!("campaign {}: {} ordered", taken.campaign, taken.order))
}

#[cfg(test)]
mod tests {
    use handover_api::{LegPlan, ObstacleView};

    use super::*;

    #[test]
    fn a_plan_names_layers_and_what_stands_in_the_way() {
        let leg = |group: &str, after: &[&str], obstacles: Vec<ObstacleView>| LegPlan {
            group: group.to_owned(),
            after: after.iter().map(|name| (*name).to_owned()).collect(),
            generation: 2,
            obstacles,
        };
        let slots = ObstacleView { kind: "slots".to_owned(), text: "no slot".to_owned(), hint: "add one".to_owned() };
        let plan = CampaignPlan {
            layers: vec![vec![leg("admin", &[], vec![])], vec![leg("orders", &["admin"], vec![slots])]],
            parallel_max: 4,
            until: Until::Adopted,
            on_failure: OnFailure::Hold,
            taken: Vec::new(),
        };
        let expected = [
            "2 groups in 2 layers, at most 4 at once; through once all presenters have the new generation; on failure nothing else is started",
            "  1  admin                            to generation 2",
            "  2  orders                           to generation 2, after admin",
            "     in the way: no slot (add one)",
        ];
        assert_eq!(plan_text(&plan).lines().collect::<Vec<_>>(), expected);
    }
}
