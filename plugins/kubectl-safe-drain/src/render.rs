//! The plan for people: the verdict first and last, then what moves, what stands in the way and what helps.

use std::collections::BTreeMap;

use disruption::drain::document::{
    BudgetVerdict, DrainPlan, ImpliedBudget, PlanOptions, PlanVerdict, PlannedBudget, PlannedNode, PlannedPod,
    PlannedWave, PodAction, PodBudget, PodBudgetVerdict, PodOwner, PodReason, ReasonSeverity, Replacement,
    ReplacementVerdict, ServerAnswer, ServerRequest, Surge, Unknown,
};
use disruption::outcome::Exit;
use owo_colors::Style;
use plugin::{
    printer::Output,
    table::{Cell, Table},
    text,
};

/// How many waves are listed before the rest is counted.
const MOST_WAVES: usize = 12;
/// How many pods a line names before the rest is counted.
const MOST_PODS: usize = 3;

/// Prints a plan.
pub(crate) fn plan(out: &mut Output, plan: &DrainPlan) {
    let DrainPlan {
        api_version: _,
        kind: _,
        taken_at,
        context,
        cluster,
        options,
        verdict,
        message,
        exit_code,
        nodes,
        pods,
        waves,
        budgets,
        implied_budgets,
        surges,
        unknowns,
        server_dry_run,
        estimated_seconds,
        diff,
    } = plan;
    let styles = out.styles().clone();
    let place = match (context, cluster) {
        (Some(context), Some(cluster)) => format!("context {context}, cluster {cluster}"),
        (Some(context), None) => format!("context {context}"),
        (None, Some(cluster)) => format!("cluster {cluster}"),
        (None, None) => "from a file".to_owned(),
    };
    print_wrapped(out, "", &format!("{place}, {taken_at:.0}"), Style::new());
    print_verdict(out, *verdict, *exit_code, message);

    print_nodes(out, nodes, pods);
    print_pods(out, pods, options.disable_eviction);
    print_reasons(out, pods);
    if !options.disable_eviction {
        print_budgets(out, budgets, pods);
    }
    print_implied(out, implied_budgets, pods);
    print_surges(out, surges);
    print_waves(out, waves);
    print_server(out, server_dry_run);
    print_unknowns(out, unknowns.iter().filter(|unknown| plan.needs(unknown)));
    print_diff(out, diff, *verdict);

    out.line("");
    if *exit_code == 0 && !waves.is_empty() && stops_surely(nodes, pods) {
        out.line(format_args!("Takes about {}.", duration(*estimated_seconds)));
    }
    if !waves.is_empty() {
        print_wrapped(out, "", "Whether the replacements find room is not looked at.", Style::new());
    }
    print_verdict(out, *verdict, *exit_code, message);
    if let Some(next) = next_step(pods, options) {
        print_wrapped(out, "next: ", &next, styles.hint);
    }
    if *exit_code != 0 {
        out.line(styles.dim.style(format!("exit code {exit_code}")));
    }
}

fn print_verdict(out: &mut Output, verdict: PlanVerdict, exit_code: u8, message: &str) {
    let styles = out.styles();
    let (word, style) = match verdict {
        _ if exit_code == Exit::Forbidden.code() => ("FORBIDDEN: ", styles.error),
        PlanVerdict::Clear if exit_code != 0 => ("UNCERTAIN: ", styles.warning),
        PlanVerdict::Clear => ("CLEAR: ", styles.good),
        PlanVerdict::Refused => ("REFUSED: ", styles.error),
        PlanVerdict::Blocked => ("BLOCKED: ", styles.error),
        PlanVerdict::NoRoom => ("NO ROOM: ", styles.error),
    };
    print_wrapped(out, word, message, style);
}

/// Whether nothing is known that would keep a pod from stopping: then an estimate means something.
fn stops_surely(nodes: &[PlannedNode], pods: &[PlannedPod]) -> bool {
    let hangs = |pod: &PlannedPod| {
        pod.action == PodAction::Wait || pod.reasons.iter().any(|reason| reason.code == "Finalizers")
    };
    nodes.iter().all(|node| node.ready == Some(true)) && !pods.iter().any(hangs)
}

fn heading(out: &mut Output, title: &str, style: Style) {
    out.line(format_args!("\n{}", style.style(title)));
}

fn print_nodes(out: &mut Output, nodes: &[PlannedNode], pods: &[PlannedPod]) {
    if nodes.is_empty() {
        return;
    }
    let styles = out.styles().clone();
    let mut table = Table::new(["NODE", "PODS", "EVICT", "SKIP", "REFUSE", "WAIT", "STATUS"]);
    for node in nodes {
        let PlannedNode { name, uid: _, unschedulable, ready, will_cordon } = node;
        let here: Vec<&PlannedPod> = pods.iter().filter(|pod| &pod.node == name).collect();
        let count = |action| Cell::from(here.iter().filter(|pod| pod.action == action).count().to_string());
        let readiness = match ready {
            Some(true) => "Ready",
            Some(false) => "NotReady",
            None => "unknown",
        };
        let cordon = match (will_cordon, unschedulable) {
            (true, _) => "will be cordoned",
            (false, _) => "cordoned already",
        };
        let style = if *ready == Some(false) { styles.warning } else { Style::new() };
        table.row([
            Cell::styled(name.as_str(), styles.name),
            here.len().to_string().into(),
            count(PodAction::Evict),
            count(PodAction::Skip),
            count(PodAction::Refuse),
            count(PodAction::Wait),
            Cell::styled(format!("{readiness}, {cordon}"), style),
        ]);
    }
    out.line("");
    out.table(&table);
}

/// Pods that are alike stand in one row: 110 pods must fit a screen.
fn print_pods(out: &mut Output, pods: &[PlannedPod], deletes: bool) {
    type Like<'a> = (PodAction, &'a str, String, String, String);
    let mut rows: BTreeMap<Like<'_>, Vec<&PlannedPod>> = BTreeMap::new();
    for pod in pods {
        let PlannedPod { namespace, name, uid: _, node: _, owner, action, reasons, budget, wave: _, replacement } = pod;
        let what = match owner {
            // They all stay; which ones is said among the reasons.
            Some(PodOwner { kind, .. }) if kind == "DaemonSet" => "daemonsets".to_owned(),
            Some(PodOwner { kind, name }) => format!("{}/{name}", kind.to_lowercase()),
            None => format!("pod/{name}"),
        };
        rows.entry((*action, namespace, what, budget_word(budget), comes_back(replacement, reasons)))
            .or_default()
            .push(pod);
    }
    if rows.is_empty() {
        return;
    }
    let styles = out.styles().clone();
    let mut table = Table::new(["ACTION", "NAMESPACE", "PODS-OF", "PODS", "WAVE", "BACK", "BUDGET"]);
    for ((action, namespace, what, budget, back), pods) in rows {
        let (word, style) = match action {
            PodAction::Evict if deletes => ("Delete", styles.warning),
            PodAction::Evict => ("Evict", styles.good),
            PodAction::Wait => ("Wait", styles.warning),
            PodAction::Refuse => ("Refuse", styles.error),
            PodAction::Skip => ("Skip", styles.dim),
        };
        table.row([
            Cell::styled(word, style),
            namespace.into(),
            what.into(),
            pods.len().to_string().into(),
            wave_range(&pods).into(),
            back.into(),
            budget.into(),
        ]);
    }
    out.line("");
    out.table(&table);
}

fn budget_word(budget: &PodBudget) -> String {
    let PodBudget { names, verdict, message: _ } = budget;
    let word = match verdict {
        PodBudgetVerdict::None => return "-".to_owned(),
        PodBudgetVerdict::Free => "not asked",
        // Whether it goes at once is what the wave says.
        PodBudgetVerdict::Allowed | PodBudgetVerdict::Later => "allows",
        PodBudgetVerdict::BlockedNow => "blocked now",
        PodBudgetVerdict::AlwaysBlocked => "always blocked",
        PodBudgetVerdict::MultipleBudgets => "several budgets",
        PodBudgetVerdict::SyncFailed => "sync failed",
        PodBudgetVerdict::StillProcessing => "still processing",
        PodBudgetVerdict::Unknown => return "unknown".to_owned(),
    };
    format!("{}: {word}", names.join(","))
}

/// Reasons that leave open whether a pod comes back.
const UNCERTAIN: [&str; 3] = ["CustomController", "OwnerUnknown", "VolumeClaims"];

fn comes_back(replacement: &Replacement, why: &[PodReason]) -> String {
    let is_uncertain = why.iter().any(|reason| UNCERTAIN.contains(&reason.code.as_str()));
    let Replacement { verdict, by, reasons } = replacement;
    let word = match (verdict, by) {
        (_, Some(_)) if is_uncertain => "?",
        // Nothing is said about the return of a pod that does not leave.
        (_, None) if reasons.is_empty() => "stays",
        (ReplacementVerdict::None, _) => "no",
        (ReplacementVerdict::NoRoom, _) => "no room",
        (ReplacementVerdict::FitsIfPacked, _) => "if packed",
        (ReplacementVerdict::Fits | ReplacementVerdict::Unknown, _) => "yes",
    };
    word.to_owned()
}

fn wave_range(pods: &[&PlannedPod]) -> String {
    let waves = || pods.iter().filter_map(|pod| pod.wave);
    match (waves().min(), waves().max()) {
        (Some(first), Some(last)) if first == last => first.to_string(),
        (Some(first), Some(last)) => format!("{first}-{last}"),
        _ => "-".to_owned(),
    }
}

/// Reasons with the pods for which they hold, worst first.
fn print_reasons(out: &mut Output, pods: &[PlannedPod]) {
    let mut groups: BTreeMap<(ReasonSeverity, usize, &str, &str), Vec<&PlannedPod>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for pod in pods {
        for PodReason { code, severity, message, remedy } in &pod.reasons {
            let rank = order.iter().position(|known| known == code).unwrap_or_else(|| {
                order.push(code);
                order.len() - 1
            });
            let key = (*severity, rank, message.as_str(), remedy.as_deref().unwrap_or_default());
            groups.entry(key).or_default().push(pod);
        }
    }
    let styles = out.styles().clone();
    let mut last = None;
    for ((severity, _, message, remedy), pods) in groups {
        if last != Some(severity) {
            match severity {
                ReasonSeverity::Error => heading(out, "Must be solved first:", styles.error),
                ReasonSeverity::Warning => heading(out, "Mind:", styles.warning),
                ReasonSeverity::Info => heading(out, "Good to know:", styles.heading),
            }
            last = Some(severity);
        }
        print_wrapped(out, "  ", &format!("{message}: {}", names(&by_owner(&pods))), Style::new());
        if !remedy.is_empty() && severity != ReasonSeverity::Info {
            print_wrapped(out, "    help: ", remedy, styles.hint);
        }
    }
}

/// Pods by name, several of one owner by the owner's.
fn by_owner(pods: &[&PlannedPod]) -> Vec<String> {
    let mut groups: Vec<(&PlannedPod, usize)> = Vec::new();
    for &pod in pods {
        let same = |other: &PlannedPod| other.namespace == pod.namespace && other.owner == pod.owner;
        match groups.iter_mut().find(|(other, _)| pod.owner.is_some() && same(other)) {
            Some((_, count)) => *count += 1,
            None => groups.push((pod, 1)),
        }
    }
    let name = |(pod, count): (&PlannedPod, usize)| match &pod.owner {
        Some(owner) if count > 1 => format!("{} ({count} pods)", what(&pod.namespace, &owner.kind, &owner.name)),
        _ => format!("{}/{}", pod.namespace, pod.name),
    };
    groups.into_iter().map(name).collect()
}

fn what(namespace: &str, kind: &str, name: &str) -> String {
    format!("{namespace} {}/{name}", kind.to_lowercase())
}

/// Budgets that block or make pods wait. Those that let all go at once are counted.
fn print_budgets(out: &mut Output, budgets: &[PlannedBudget], pods: &[PlannedPod]) {
    let slows = |budget: &&PlannedBudget| {
        let covers = |pod: &&PlannedPod| pod.namespace == budget.namespace && pod.budget.names.contains(&budget.name);
        let waits = |pod: &PlannedPod| match pod.budget.verdict {
            PodBudgetVerdict::Allowed | PodBudgetVerdict::Free => false,
            _ => pod.action != PodAction::Skip,
        };
        budget.verdict != BudgetVerdict::Open || pods.iter().filter(covers).any(waits)
    };
    let (slow, fast): (Vec<&PlannedBudget>, Vec<&PlannedBudget>) = budgets.iter().partition(slows);
    if !slow.is_empty() {
        print_budget_table(out, &slow);
    }
    match fast.as_slice() {
        [] => {}
        [budget] => {
            let name = format!("{}/{}", budget.namespace, budget.name);
            out.line(format_args!("\nBudget {} lets its pods go at once.", text::one_line(&name)));
        }
        budgets => out.line(format_args!("\n{} budgets let their pods go at once.", budgets.len())),
    }
}

fn print_budget_table(out: &mut Output, budgets: &[&PlannedBudget]) {
    let styles = out.styles().clone();
    let mut table = Table::new(["BUDGET", "NEEDED", "HEALTHY", "OF", "ALLOWED", "STATE"]);
    for budget in budgets {
        let PlannedBudget {
            namespace,
            name,
            expected_pods,
            desired_healthy,
            current_healthy,
            disruptions_allowed,
            verdict,
            message: _,
        } = budget;
        let (word, style) = match verdict {
            BudgetVerdict::Open => ("open", styles.good),
            BudgetVerdict::BlockedNow => ("blocked now", styles.warning),
            BudgetVerdict::AlwaysBlocked => ("always blocked", styles.error),
            BudgetVerdict::SyncFailed => ("sync failed", styles.error),
            BudgetVerdict::StillProcessing => ("still processing", styles.warning),
            BudgetVerdict::Unknown => ("unknown", styles.warning),
        };
        table.row([
            format!("{namespace}/{name}").into(),
            desired_healthy.to_string().into(),
            current_healthy.to_string().into(),
            expected_pods.to_string().into(),
            disruptions_allowed.to_string().into(),
            Cell::styled(word, style),
        ]);
    }
    out.line("");
    out.table(&table);
}

/// Workloads without a budget whose pods wait for each other all the same.
fn print_implied(out: &mut Output, budgets: &[ImpliedBudget], pods: &[PlannedPod]) {
    let mut table = Table::new(["WITHOUT-BUDGET", "READY", "AT-ONCE"]);
    for ImpliedBudget { kind, namespace, name, target: _, ready, max_unavailable } in budgets {
        let is_theirs = |pod: &&PlannedPod| {
            &pod.namespace == namespace
                && pod.owner.as_ref().is_some_and(|owner| &owner.kind == kind && &owner.name == name)
        };
        if !pods.iter().filter(is_theirs).any(|pod| pod.wave.is_some_and(|wave| wave > 1)) {
            continue;
        }
        let at_once = max_unavailable.map_or("unlimited".to_owned(), |limit| limit.to_string());
        table.row([what(namespace, kind, name).into(), ready.to_string().into(), at_once.into()]);
    }
    if !table.is_empty() {
        out.line("");
        out.table(&table);
    }
}

fn print_surges(out: &mut Output, surges: &[Surge]) {
    for Surge { kind, namespace, name, from, to, reason } in surges {
        let line = format!("surge {} from {from} to {to}: {reason}", what(namespace, kind, name));
        out.line(text::one_line(&line));
    }
}

fn print_waves(out: &mut Output, waves: &[PlannedWave]) {
    if waves.is_empty() {
        return;
    }
    let mut table = Table::new(["WAVE", "PODS", "WHICH"]);
    for PlannedWave { index, pods, waits_for } in waves.iter().take(MOST_WAVES) {
        let which = match waits_for.as_slice() {
            [] => names(pods),
            [pod] => format!("{}, once the replacement of {pod} is Ready", names(pods)),
            replaced => format!("{}, once {} replacements are Ready", names(pods), replaced.len()),
        };
        table.row([index.to_string().into(), pods.len().to_string().into(), which.into()]);
    }
    out.line("");
    out.table(&table);
    if waves.len() > MOST_WAVES {
        out.line(format_args!("… and {} more waves", waves.len() - MOST_WAVES));
    }
}

fn print_server(out: &mut Output, answers: &[ServerAnswer]) {
    if answers.is_empty() {
        return;
    }
    let accepted = answers.iter().filter(|answer| answer.accepted).count();
    let styles = out.styles().clone();
    let title = format!("Server dry run: {accepted} of {} requests accepted", answers.len());
    heading(out, &title, if accepted == answers.len() { styles.heading } else { styles.error });
    for ServerAnswer { object, request, accepted, code, refused_by: _, message } in answers {
        if *accepted {
            continue;
        }
        let verb = match request {
            ServerRequest::Cordon => "cordon",
            ServerRequest::Evict => "evict",
            ServerRequest::Delete => "delete",
        };
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        print_wrapped(out, "  ", &format!("{verb} {object}{code}: {message}"), Style::new());
    }
}

fn print_unknowns<'a>(out: &mut Output, unknowns: impl Iterator<Item = &'a Unknown>) {
    let mut table = Table::new(["UNKNOWN", "WHY"]);
    for Unknown { resource, message } in unknowns {
        table.row([resource.as_str().into(), message.as_str().into()]);
    }
    if !table.is_empty() {
        out.line("");
        out.table(&table);
    }
}

fn print_diff(out: &mut Output, diff: &str, verdict: PlanVerdict) {
    if diff.is_empty() {
        return;
    }
    let styles = out.styles().clone();
    let title = match verdict {
        PlanVerdict::Clear => "What will change:",
        PlanVerdict::Refused | PlanVerdict::Blocked | PlanVerdict::NoRoom => {
            "What would change, for the pods that can go:"
        }
    };
    heading(out, title, styles.heading);
    for line in diff.lines() {
        let style = match line.as_bytes() {
            [b'-', b'-', ..] | [b'+', b'+', ..] => styles.heading,
            [b'@', ..] => styles.hint,
            [b'+', ..] => styles.added,
            [b'-', ..] => styles.removed,
            _ => Style::new(),
        };
        out.line(style.style(text::one_line(line)));
    }
}

/// What gets further: the flags that the refused pods need.
fn next_step(pods: &[PlannedPod], options: &PlanOptions) -> Option<String> {
    let PlanOptions {
        force,
        ignore_daemonsets,
        delete_emptydir_data,
        grace_period_seconds: _,
        timeout_seconds: _,
        pod_selector: _,
        disable_eviction: _,
        skip_wait_for_delete_timeout_seconds: _,
        max_unavailable: _,
    } = options;
    let needs = |code: &str| {
        let is_needed = |reason: &PodReason| reason.code == code && reason.severity == ReasonSeverity::Error;
        pods.iter().flat_map(|pod| &pod.reasons).any(is_needed)
    };
    let flags: Vec<&str> = [
        ("--ignore-daemonsets", *ignore_daemonsets, needs("DaemonSetManaged")),
        ("--delete-emptydir-data", *delete_emptydir_data, needs("LocalStorage")),
        ("--force", *force, needs("Unreplicated") || needs("DaemonSetGone")),
    ]
    .into_iter()
    .filter(|(_, given, needed)| *needed && !*given)
    .map(|(flag, ..)| flag)
    .collect();
    (!flags.is_empty()).then(|| format!("add {}", flags.join(" ")))
}

/// Text behind a prefix, wrapped to the width of the output; further lines stand under the first. The style is the
/// prefix's.
fn print_wrapped(out: &mut Output, prefix: &str, text: &str, style: Style) {
    let indent = prefix.chars().count();
    let room = out.width().saturating_sub(indent).max(MIN_TEXT_WIDTH);
    let text = text::one_line(text).into_owned();
    let mut line = String::new();
    let mut lines = Vec::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    for (number, line) in lines.iter().enumerate() {
        let lead = if number == 0 { style.style(prefix).to_string() } else { " ".repeat(indent) };
        out.line(format_args!("{lead}{line}"));
    }
}

/// Narrower than this, wrapping helps nobody.
const MIN_TEXT_WIDTH: usize = 20;

fn names(names: &[String]) -> String {
    let shown = names.iter().take(MOST_PODS).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MOST_PODS) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

fn duration(seconds: i64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests;
