//! One look at a rollout, written down: how it stands, why, and what an undo would do.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{
    blame::{self, Blame},
    document::{RolloutCause, RolloutFinding, RolloutPhase, RolloutStatus, RolloutWorkload, UndoTarget},
    references,
    status::{self, Progress},
    target, template,
    verdict::{self, Clocks, Limits, Phase, Verdict},
    view::Subject,
};
use crate::{
    action::Wanted,
    diagnose::{self, Code, Finding},
    document::API_VERSION,
    model::{RolloutKind, VersionKey},
    outcome::Exit,
};

/// How a rollout stands. `absent` are the objects of [`needed_by_undo`] that do not exist.
pub fn look(subject: &Subject<'_>, limits: &Limits, absent: &[Wanted]) -> RolloutStatus {
    let Seen { findings, progress, verdict } = see(subject, limits);
    let exit = exit(&verdict);
    let cause = verdict.cause.as_ref().map(|finding| cause_of(finding, &blame_for(subject, finding, &BTreeSet::new())));
    let undo_target = undo_target(subject);
    RolloutStatus {
        api_version: API_VERSION.to_owned(),
        kind: "RolloutStatus".to_owned(),
        workload: RolloutWorkload::of(subject.rollout),
        revision: subject.current().and_then(|revision| revision.number),
        version: subject.version().map(|version| version.0.clone()),
        phase: phase(&verdict),
        counts: progress.counts,
        message: message(&verdict, &progress),
        next: next(subject, &verdict, undo_target.as_ref(), absent),
        findings: findings.iter().map(RolloutFinding::from).collect(),
        cause,
        undo_target,
        exit_code: exit.code(),
    }
}

/// The objects that an undo needs, where one look says that there should be one.
pub fn needed_by_undo(subject: &Subject<'_>, limits: &Limits) -> BTreeSet<Wanted> {
    let has_stalled = see(subject, limits).verdict.phase == Phase::Stalled;
    let target = target::choose(subject, None, &BTreeSet::new()).ok().filter(|_| has_stalled);
    let namespace = &subject.rollout.name.namespace;
    target.map(|target| references::needed(&target.revision.template, namespace)).unwrap_or_default()
}

/// What proves at one look that the current version is bad: it stalls the rollout, and the version is to blame.
pub(super) fn proof_against_version(
    subject: &Subject<'_>,
    limits: &Limits,
    seen_ready: &BTreeSet<VersionKey>,
) -> Option<Finding> {
    let Verdict { phase, cause, .. } = see(subject, limits).verdict;
    cause.filter(|finding| phase == Phase::Stalled && blame_for(subject, finding, seen_ready).proves_bad(finding))
}

/// A cause with what the rollout changed of it.
pub(super) fn cause_of(finding: &Finding, blame: &Blame) -> RolloutCause {
    let RolloutFinding { code, class, message, .. } = RolloutFinding::from(finding);
    let changed = blame.fault.is_changed();
    RolloutCause { code, class, message, changed, paths: blame.paths.iter().cloned().map(Into::into).collect() }
}

/// Who is to blame for a finding: compared with the revision that ran before.
pub(super) fn blame_for(subject: &Subject<'_>, finding: &Finding, seen_ready: &BTreeSet<VersionKey>) -> Blame {
    let before = target::last_good(subject, seen_ready);
    blame::blame(before.as_ref().map(|target| target.revision), finding, subject, |pod| diagnose::of_pod(subject, pod))
}

struct Seen {
    findings: Vec<Finding>,
    progress: Progress,
    verdict: Verdict,
}

fn see(subject: &Subject<'_>, limits: &Limits) -> Seen {
    let findings = diagnose::diagnose(subject);
    let progress = status::progress(subject);
    let clocks = Clocks::begin(subject, &findings, &progress);
    // One look cannot wait and see whether it stays good.
    let limits = Limits { stable_for: Some(SignedDuration::ZERO), ..*limits };
    let verdict = verdict::judge(subject, &findings, &progress, &clocks, &limits);
    Seen { findings, progress, verdict }
}

fn phase(verdict: &Verdict) -> RolloutPhase {
    match verdict.phase {
        Phase::Progressing => RolloutPhase::Progressing,
        Phase::Waiting => RolloutPhase::Waiting,
        Phase::Stalled => RolloutPhase::Stalled,
        Phase::Blocked => RolloutPhase::Blocked,
        Phase::Complete => RolloutPhase::Complete,
    }
}

fn exit(verdict: &Verdict) -> Exit {
    match (verdict.phase, verdict.cause.as_ref().map(|cause| cause.code)) {
        (Phase::Complete, _) => Exit::Done,
        (Phase::Progressing | Phase::Waiting, _) => Exit::Unfinished,
        (Phase::Blocked, Some(Code::Paused | Code::OnDelete)) => Exit::Refused,
        (Phase::Stalled | Phase::Blocked, _) => Exit::NotUndone,
    }
}

fn message(verdict: &Verdict, progress: &Progress) -> String {
    match (&verdict.cause, verdict.phase) {
        (Some(cause), Phase::Stalled | Phase::Blocked) => format!("{}: {}", progress.message, cause.message),
        _ => progress.message.clone(),
    }
}

fn undo_target(subject: &Subject<'_>) -> Option<UndoTarget> {
    let target = target::choose(subject, None, &BTreeSet::new()).ok()?;
    Some(UndoTarget {
        revision: target.revision.number?,
        why: target.to_string(),
        diff: template::diff(&subject.rollout.template, &target.revision.template, &subject.rollout.shown()),
    })
}

fn next(subject: &Subject<'_>, verdict: &Verdict, target: Option<&UndoTarget>, absent: &[Wanted]) -> Vec<String> {
    let (namespace, shown) = (&subject.rollout.name.namespace, subject.rollout.shown());
    let mut next = Vec::new();
    match verdict.phase {
        Phase::Complete => {}
        Phase::Progressing | Phase::Waiting => next.push(format!("kubectl rollout-guard -n {namespace} {shown}")),
        Phase::Blocked => match verdict.cause.as_ref().map(|cause| cause.code) {
            Some(Code::Paused) => next.push(format!("kubectl -n {namespace} rollout resume {shown}")),
            Some(Code::OnDelete) => next.extend(delete_old_pods(subject)),
            _ => next.extend(verdict.cause.as_ref().and_then(Finding::remedy)),
        },
        Phase::Stalled => {
            next.extend(verdict.cause.as_ref().and_then(Finding::remedy));
            let lacks = absent.iter().map(|wanted| format!("an undo needs {wanted}, which is not there"));
            next.extend(lacks);
            next.extend(ways_on(subject, target.is_some()));
        }
    }
    next
}

/// The commands that help where a version stalls. What is paused is resumed first, or nothing else is rolled out.
pub(super) fn ways_on(subject: &Subject<'_>, has_target: bool) -> Vec<String> {
    let (namespace, shown) = (&subject.rollout.name.namespace, subject.rollout.shown());
    let resume = subject.rollout.is_paused.then(|| format!("kubectl -n {namespace} rollout resume {shown}"));
    let can_pause = subject.rollout.kind == RolloutKind::Deployment && !subject.rollout.is_paused && !has_target;
    let pause = can_pause.then(|| format!("kubectl -n {namespace} rollout pause {shown}"));
    let undo = has_target.then(|| format!("kubectl rollout-guard -n {namespace} undo {shown}"));
    [resume, pause, undo].into_iter().flatten().collect()
}

/// The command that gives the remaining pods the new version under `OnDelete`.
pub fn delete_old_pods(subject: &Subject<'_>) -> Option<String> {
    let old = subject.old_pods().into_iter().filter(|pod| !pod.is_terminating());
    let pods: Vec<&str> = old.map(|pod| pod.name.name.as_str()).collect();
    let namespace = &subject.rollout.name.namespace;
    (!pods.is_empty()).then(|| format!("kubectl -n {namespace} delete pod {}", pods.join(" ")))
}
