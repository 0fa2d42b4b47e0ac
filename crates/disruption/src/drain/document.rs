//! `DrainPlan`, the document that pipelines read: its names and keys are a contract and change only on purpose.

mod repair;
mod result;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    changes,
    filter::{self, Reason},
    options::{MaxUnavailable, Options},
    plan::{self, Action, Plan, PodPlan, Verdict},
    rights::Right,
    text,
};
use crate::{
    budget::ledger::{Account, BudgetState, ImpliedAccount},
    document::{API_VERSION, with_milliseconds},
    model::{ObjectName, Pod},
    outcome::Exit,
    workload::{Owner, Workloads},
};

pub use crate::document::ProbeResult;
pub use repair::{NodeRepair, RepairOutcome, RepairResult};
pub use result::{DrainResult, NodeOutcome, NodeResult, PodOutcome, PodResult};

/// The plan of a drain.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DrainPlan {
    /// `disruption/v1alpha1`.
    pub api_version: String,
    /// `DrainPlan`.
    pub kind: String,
    /// When the cluster was looked at, in UTC with milliseconds.
    #[serde(serialize_with = "with_milliseconds")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub taken_at: Timestamp,
    /// The kubeconfig context; null for a file.
    pub context: Option<String>,
    /// The cluster of that context; null for a file.
    pub cluster: Option<String>,
    /// What was asked for.
    pub options: PlanOptions,
    /// The plan in one word.
    pub verdict: PlanVerdict,
    /// The plan in one sentence.
    pub message: String,
    /// The exit code of the command.
    pub exit_code: u8,
    /// The nodes in the order in which they were named.
    pub nodes: Vec<PlannedNode>,
    /// Every pod on them.
    pub pods: Vec<PlannedPod>,
    /// The rounds of evictions.
    pub waves: Vec<PlannedWave>,
    /// The disruption budgets that cover pods of the drain.
    pub budgets: Vec<PlannedBudget>,
    /// What workloads without a budget are treated with.
    pub implied_budgets: Vec<ImpliedBudget>,
    /// Replicas that are raised for the drain.
    pub surges: Vec<Surge>,
    /// What could not be read.
    pub unknowns: Vec<Unknown>,
    /// What the server said to a dry run of the cordon and of the first wave; absent if nothing was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server_dry_run: Vec<ServerAnswer>,
    /// An estimate from the first eviction until the last pod is gone and replaced, in seconds.
    pub estimated_seconds: i64,
    /// A unified diff of everything that will change.
    pub diff: String,
}

/// The options of a plan.
#[expect(clippy::struct_excessive_bools, reason = "one field a flag of the command line")]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlanOptions {
    /// `--force`.
    pub force: bool,
    /// `--ignore-daemonsets`.
    pub ignore_daemonsets: bool,
    /// `--delete-emptydir-data`.
    pub delete_emptydir_data: bool,
    /// `--grace-period`; null is each pod's own.
    pub grace_period_seconds: Option<u32>,
    /// `--timeout`; null is none.
    pub timeout_seconds: Option<f64>,
    /// `--pod-selector`; empty selects all.
    pub pod_selector: String,
    /// `--disable-eviction`.
    pub disable_eviction: bool,
    /// `--skip-wait-for-delete-timeout`; null is never.
    pub skip_wait_for_delete_timeout_seconds: Option<f64>,
    /// `--max-unavailable`: `auto`, a count, a percentage, or `unlimited`.
    pub max_unavailable: String,
}

/// The plan in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum PlanVerdict {
    /// Nothing stands in the way.
    Clear,
    /// Pods need a flag.
    Refused,
    /// A disruption budget blocks.
    Blocked,
    /// A replacement would find no room.
    NoRoom,
}

/// A node that is to be drained.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlannedNode {
    /// Its name.
    pub name: String,
    /// Its UID; null where nodes could not be read.
    pub uid: Option<String>,
    /// Whether it is cordoned already.
    pub unschedulable: Option<bool>,
    /// Whether its kubelet is Ready.
    pub ready: Option<bool>,
    /// Whether the drain cordons it.
    pub will_cordon: bool,
}

/// A pod on a node that is to be drained.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlannedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its node.
    pub node: String,
    /// The workload at the top of its owners; null for a bare pod.
    pub owner: Option<PodOwner>,
    /// What happens to it.
    pub action: PodAction,
    /// Every reason, kubectl's first.
    pub reasons: Vec<PodReason>,
    /// What the disruption budgets say.
    pub budget: PodBudget,
    /// The wave in which it goes, from 1; null unless it is evicted.
    pub wave: Option<u32>,
    /// Whether it comes back.
    pub replacement: Replacement,
}

/// The owner of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PodOwner {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What happens to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, PartialOrd, Ord)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum PodAction {
    /// It is evicted.
    Evict,
    /// It waits for something that the drain does not cause.
    Wait,
    /// It cannot go without a flag or a change.
    Refuse,
    /// It stays where it is.
    Skip,
}

/// One thing to know about a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PodReason {
    /// A stable word.
    pub code: String,
    /// How much it matters.
    pub severity: ReasonSeverity,
    /// In words.
    pub message: String,
    /// What helps; null where nothing need be done.
    pub remedy: Option<String>,
}

/// How much a reason matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ReasonSeverity {
    /// The pod cannot go.
    Error,
    /// It can, at a price.
    Warning,
    /// Good to know.
    Info,
}

/// What the disruption budgets say of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PodBudget {
    /// The names of the budgets that cover it.
    pub names: Vec<String>,
    /// In a word.
    pub verdict: PodBudgetVerdict,
    /// In words; empty where there is nothing to say.
    pub message: String,
}

/// What the disruption budgets say of a pod, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum PodBudgetVerdict {
    /// None covers it, or it does not leave.
    None,
    /// One covers it and need not be asked.
    Free,
    /// Allowed in the first wave.
    Allowed,
    /// Allowed once replacements of this drain are Ready.
    Later,
    /// Waits for something that this drain does not cause.
    BlockedNow,
    /// Can never be allowed as things are.
    AlwaysBlocked,
    /// Several cover it, which the server refuses.
    MultipleBudgets,
    /// The controller cannot compute it.
    SyncFailed,
    /// The controller has not seen its newest spec.
    StillProcessing,
    /// Budgets could not be read.
    Unknown,
}

/// Whether a pod comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Replacement {
    /// Whether its replacement finds room.
    pub verdict: ReplacementVerdict,
    /// Who brings it back; null where nobody does.
    pub by: Option<PodOwner>,
    /// In words.
    pub reasons: Vec<String>,
}

/// Whether the replacement of a pod finds room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ReplacementVerdict {
    /// There is no replacement.
    None,
    /// It fits.
    Fits,
    /// It fits only if others are packed tightly.
    FitsIfPacked,
    /// No node has room.
    NoRoom,
    /// Not looked at.
    Unknown,
}

/// A round of evictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlannedWave {
    /// From 1.
    pub index: u32,
    /// The pods that go, as `namespace/name`.
    pub pods: Vec<String>,
    /// The pods whose replacements must be Ready first, as `namespace/name`.
    pub waits_for: Vec<String>,
}

/// A disruption budget before the drain, as recomputed from pods and owners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlannedBudget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods that it is about.
    pub expected_pods: i32,
    /// Pods that must stay healthy.
    pub desired_healthy: i32,
    /// Pods that are healthy.
    pub current_healthy: i32,
    /// Evictions that it allows at once.
    pub disruptions_allowed: i32,
    /// In a word.
    pub verdict: BudgetVerdict,
    /// In words; empty for an open one.
    pub message: String,
}

/// How a disruption budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum BudgetVerdict {
    /// Allows at least one eviction.
    Open,
    /// Allows none now.
    BlockedNow,
    /// Can never allow one as things are.
    AlwaysBlocked,
    /// The controller cannot compute it.
    SyncFailed,
    /// The controller has not seen its newest spec.
    StillProcessing,
    /// What it depends on could not be read.
    Unknown,
}

/// What a workload without a budget is treated with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImpliedBudget {
    /// The workload's kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Ready pods that it must get back to.
    pub target: i32,
    /// Ready pods before the drain.
    pub ready: i32,
    /// How many may be missing at once; null is no limit.
    pub max_unavailable: Option<i32>,
}

/// A workload whose replicas are raised for the drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Surge {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Replicas before.
    pub from: i32,
    /// Replicas meanwhile.
    pub to: i32,
    /// Why.
    pub reason: String,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Unknown {
    /// The resource with its group.
    pub resource: String,
    /// Why.
    pub message: String,
}

/// What the server said to a dry run of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ServerAnswer {
    /// `node/NAME` or `pod/NAMESPACE/NAME`.
    pub object: String,
    /// What was asked.
    pub request: ServerRequest,
    /// Whether it would have been accepted.
    pub accepted: bool,
    /// The HTTP status of a refusal; null otherwise.
    pub code: Option<u16>,
    /// Who refused it; null when accepted.
    pub refused_by: Option<RefusedBy>,
    /// The refusal in the server's words; empty when accepted.
    pub message: String,
}

/// Who refused a request of a server dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum RefusedBy {
    /// A disruption budget.
    Budget,
    /// The server's rules: a webhook, a policy, validation.
    Server,
    /// Nobody: the server was too busy, failed, or did not answer in time.
    NoAnswer,
}

/// A request of a server dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ServerRequest {
    /// Cordon a node.
    Cordon,
    /// Evict a pod.
    Evict,
    /// Delete a pod.
    Delete,
}

/// Where a plan was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The kubeconfig context.
    pub context: Option<String>,
    /// The cluster of that context.
    pub cluster: Option<String>,
}

impl DrainPlan {
    /// Writes a plan down.
    pub fn new(plan: &Plan<'_>, place: Place) -> Self {
        let Plan { snapshot, options, nodes, pods, waves, ledger, estimated_seconds } = plan;
        Self {
            api_version: API_VERSION.to_owned(),
            kind: "DrainPlan".to_owned(),
            taken_at: snapshot.taken_at,
            context: place.context,
            cluster: place.cluster,
            options: PlanOptions::new(options),
            verdict: PlanVerdict::new(plan.verdict()),
            message: text::verdict_sentence(plan),
            exit_code: plan.verdict().exit().code(),
            nodes: nodes.iter().map(PlannedNode::new).collect(),
            pods: pods.iter().map(|planned| PlannedPod::new(planned, plan)).collect(),
            waves: waves.iter().zip(1..).map(|(wave, index)| PlannedWave::new(wave, index)).collect(),
            budgets: ledger.accounts().iter().map(PlannedBudget::new).collect(),
            implied_budgets: ledger.implied().map(ImpliedBudget::new).collect(),
            surges: Vec::new(),
            unknowns: unknowns(plan),
            server_dry_run: Vec::new(),
            estimated_seconds: *estimated_seconds,
            diff: changes::diff(plan),
        }
    }
}

impl DrainPlan {
    /// The exit code that it names.
    pub fn exit(&self) -> Exit {
        Exit::BY_PRECEDENCE.into_iter().find(|exit| exit.code() == self.exit_code).unwrap_or(Exit::Error)
    }

    /// Whether the plan would be another if this were known: budgets and nodes, and the owners of these pods.
    pub fn needs(&self, unknown: &Unknown) -> bool {
        let is_owner = |pod: &PlannedPod| {
            let owner = pod.owner.as_ref().map(|owner| format!("{}s", owner.kind.to_lowercase()));
            owner.is_some_and(|plural| unknown.resource.split('.').next() == Some(plural.as_str()))
        };
        let is_always = unknown.resource == "nodes" || unknown.resource.starts_with("poddisruptionbudgets");
        is_always || self.pods.iter().any(is_owner)
    }

    /// Rights that the drain needs are missing.
    pub fn forbid(&mut self, missing: &[Right]) {
        self.message = format!("{}; else: {}", text::forbidden_sentence(missing), self.message);
        self.exit_code = Exit::of_all([self.exit(), Exit::Forbidden]).code();
    }

    /// Puts what the server said beside what was computed. A refusal makes a clear plan a refused or blocked one; where
    /// nobody answered nothing is wrong with the pod.
    pub fn record_server_answers(&mut self, answers: Vec<ServerAnswer>) {
        let by = |who: RefusedBy| answers.iter().filter(move |answer| answer.refused_by == Some(who)).count();
        let (budget, server, none) = (by(RefusedBy::Budget), by(RefusedBy::Server), by(RefusedBy::NoAnswer));
        let is_refused = |answer: &&ServerAnswer| match answer.refused_by {
            Some(RefusedBy::Budget | RefusedBy::Server) => true,
            Some(RefusedBy::NoAnswer) | None => false,
        };
        for refusal in answers.iter().filter(is_refused) {
            let pod = self.pods.iter_mut().find(|pod| format!("pod/{}/{}", pod.namespace, pod.name) == refusal.object);
            if let Some(pod) = pod {
                let (severity, message) = (ReasonSeverity::Error, refusal.message.clone());
                pod.reasons.push(PodReason { code: "ServerRefused".to_owned(), severity, message, remedy: None });
            }
        }
        if budget + server + none > 0 {
            let server = text::server_sentence(budget + server, none);
            self.message = format!("{server}; by our own rules: {}", self.message);
        }
        self.verdict = match self.verdict {
            _ if server > 0 => PlanVerdict::Refused,
            PlanVerdict::Clear if budget > 0 => PlanVerdict::Blocked,
            verdict => verdict,
        };
        let exits = [(budget, Exit::Blocked), (server, Exit::Refused), (none, Exit::Error)];
        let exits = exits.into_iter().filter(|(count, _)| *count > 0).map(|(_, exit)| exit);
        self.exit_code = Exit::of_all(exits.chain([self.exit()])).code();
        self.server_dry_run = answers;
    }
}

fn unknowns(plan: &Plan<'_>) -> Vec<Unknown> {
    let kinds = plan
        .snapshot
        .unknown
        .iter()
        .map(|(kind, why)| Unknown { resource: kind.resource().to_owned(), message: why.to_string() });
    let budgets = plan.ledger.accounts().iter().filter_map(|account| match &account.state {
        BudgetState::Unknown(what) => Some(Unknown {
            resource: format!("poddisruptionbudgets.policy {}", account.budget.name),
            message: what.clone(),
        }),
        _ => None,
    });
    kinds.chain(budgets).collect()
}

impl PlanOptions {
    fn new(options: &Options) -> Self {
        let Options {
            force,
            ignore_daemonsets,
            delete_emptydir_data,
            grace_period_seconds,
            timeout,
            pod_selector,
            disable_eviction,
            skip_wait_for_delete_timeout,
            max_unavailable,
        } = options;
        Self {
            force: *force,
            ignore_daemonsets: *ignore_daemonsets,
            delete_emptydir_data: *delete_emptydir_data,
            grace_period_seconds: *grace_period_seconds,
            timeout_seconds: timeout.map(|timeout| timeout.as_secs_f64()),
            pod_selector: pod_selector.as_ref().map(ToString::to_string).unwrap_or_default(),
            disable_eviction: *disable_eviction,
            skip_wait_for_delete_timeout_seconds: skip_wait_for_delete_timeout.map(|timeout| timeout.as_secs_f64()),
            max_unavailable: match max_unavailable {
                MaxUnavailable::Auto => "auto".to_owned(),
                MaxUnavailable::Value(value) => value.to_string(),
                MaxUnavailable::Unlimited => "unlimited".to_owned(),
            },
        }
    }
}

impl PlanVerdict {
    fn new(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Clear => Self::Clear,
            Verdict::Refused => Self::Refused,
            Verdict::Blocked => Self::Blocked,
        }
    }
}

impl PlannedNode {
    fn new(planned: &plan::NodePlan<'_>) -> Self {
        let plan::NodePlan { name, node } = planned;
        Self {
            name: name.0.clone(),
            uid: node.map(|node| node.uid.0.clone()),
            unschedulable: node.map(|node| node.unschedulable),
            ready: node.map(|node| node.ready),
            will_cordon: node.is_none_or(|node| !node.unschedulable),
        }
    }
}

impl PlannedPod {
    fn new(planned: &PodPlan<'_>, plan: &Plan<'_>) -> Self {
        let PodPlan { pod, node, judgement, action, budget } = planned;
        let filter::Judgement { fate: _, reasons, comeback } = judgement;
        let (message, remedy) = text::budget_message(planned, plan);
        let verdict = PodBudgetVerdict::new(*budget);
        let mut reasons: Vec<PodReason> = reasons.iter().map(PodReason::new).collect();
        if planned.is_blocked() {
            let severity = ReasonSeverity::Error;
            reasons.push(PodReason { code: format!("Budget{verdict:?}"), severity, message: message.clone(), remedy });
        } else if plan.options.disable_eviction && verdict == PodBudgetVerdict::Free {
            let (code, severity) = ("BudgetBypassed".to_owned(), ReasonSeverity::Warning);
            reasons.push(PodReason { code, severity, message: message.clone(), remedy });
        }
        Self {
            namespace: pod.name.namespace.clone(),
            name: pod.name.name.clone(),
            uid: pod.uid.0.clone(),
            node: node.0.clone(),
            owner: PodOwner::of(pod, &plan.snapshot.workloads),
            action: match action {
                Action::Evict(_) => PodAction::Evict,
                Action::Skip => PodAction::Skip,
                Action::Refuse => PodAction::Refuse,
                Action::Wait => PodAction::Wait,
            },
            reasons,
            budget: PodBudget {
                names: plan.ledger.budgets_of(pod).map(|account| account.budget.name.name.clone()).collect(),
                verdict,
                message,
            },
            wave: planned.wave(),
            replacement: Replacement::new(*comeback),
        }
    }
}

impl PodOwner {
    /// The workload at the top of its owners, also where only its name is known.
    pub(super) fn of(pod: &Pod, workloads: &Workloads) -> Option<Self> {
        match workloads.root(pod) {
            Owner::Workload(workload) => Some(Self::new(workload.kind.as_str(), &workload.name.name)),
            Owner::Unknown(owner) => Some(Self::new(&owner.kind, &owner.name)),
            Owner::None | Owner::Node | Owner::Gone(_) | Owner::Custom(_) => {
                pod.controller.as_ref().map(|owner| Self::new(&owner.kind, &owner.name))
            }
        }
    }

    fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned() }
    }
}

impl PodReason {
    fn new(reason: &Reason<'_>) -> Self {
        Self {
            code: reason.code().to_owned(),
            severity: match reason.severity() {
                filter::Severity::Error => ReasonSeverity::Error,
                filter::Severity::Warning => ReasonSeverity::Warning,
                filter::Severity::Info => ReasonSeverity::Info,
            },
            message: reason.message(),
            remedy: reason.remedy(),
        }
    }
}

impl PodBudgetVerdict {
    fn new(verdict: plan::BudgetVerdict) -> Self {
        match verdict {
            plan::BudgetVerdict::None => Self::None,
            plan::BudgetVerdict::Free => Self::Free,
            plan::BudgetVerdict::Allowed => Self::Allowed,
            plan::BudgetVerdict::Later => Self::Later,
            plan::BudgetVerdict::BlockedNow => Self::BlockedNow,
            plan::BudgetVerdict::AlwaysBlocked => Self::AlwaysBlocked,
            plan::BudgetVerdict::MultipleBudgets => Self::MultipleBudgets,
            plan::BudgetVerdict::SyncFailed => Self::SyncFailed,
            plan::BudgetVerdict::StillProcessing => Self::StillProcessing,
            plan::BudgetVerdict::Unknown => Self::Unknown,
        }
    }
}

impl Replacement {
    fn new(comeback: filter::Comeback<'_>) -> Self {
        let by = match comeback {
            filter::Comeback::By(workload) => Some(PodOwner::new(workload.kind.as_str(), &workload.name.name)),
            filter::Comeback::Uncertain(owner) => Some(PodOwner::new(&owner.kind, &owner.name)),
            filter::Comeback::Stays | filter::Comeback::Lost(_) => None,
        };
        let verdict = if by.is_some() { ReplacementVerdict::Unknown } else { ReplacementVerdict::None };
        Self { verdict, by, reasons: text::comeback_message(comeback).into_iter().collect() }
    }
}

impl PlannedWave {
    fn new(wave: &plan::Wave<'_>, index: u32) -> Self {
        let plan::Wave { pods, waits_for } = wave;
        let names = |pods: &[&Pod]| pods.iter().map(|pod| pod.name.to_string()).collect();
        Self { index, pods: names(pods), waits_for: names(waits_for) }
    }
}

impl PlannedBudget {
    fn new(account: &Account<'_>) -> Self {
        let allowed = match account.state {
            BudgetState::Open | BudgetState::Unknown(_) => account.counts.allowed(),
            BudgetState::BlockedNow
            | BudgetState::AlwaysBlocked
            | BudgetState::SyncFailed(_)
            | BudgetState::StillProcessing => 0,
        };
        Self {
            namespace: account.budget.name.namespace.clone(),
            name: account.budget.name.name.clone(),
            expected_pods: account.counts.expected,
            desired_healthy: account.counts.desired,
            current_healthy: account.counts.healthy,
            disruptions_allowed: allowed,
            verdict: match account.state {
                BudgetState::Open => BudgetVerdict::Open,
                BudgetState::BlockedNow => BudgetVerdict::BlockedNow,
                BudgetState::AlwaysBlocked => BudgetVerdict::AlwaysBlocked,
                BudgetState::SyncFailed(_) => BudgetVerdict::SyncFailed,
                BudgetState::StillProcessing => BudgetVerdict::StillProcessing,
                BudgetState::Unknown(_) => BudgetVerdict::Unknown,
            },
            message: text::account_summary(account),
        }
    }
}

impl ImpliedBudget {
    fn new(account: &ImpliedAccount<'_>) -> Self {
        let (kind, ObjectName { namespace, name }) = &account.owner;
        Self {
            kind: (*kind).to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
            target: account.target,
            ready: account.ready,
            max_unavailable: account.allowance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::schema,
        fixture::{budget, daemon_set, deployment, job, node, pod, replica_set, stateful_set, world},
        model::{NodeName, WorkloadKind},
        snapshot::{Kind, Unreadable},
    };

    #[test]
    fn a_rich_plan() {
        let world = world()
            .with(node("n1"))
            .with(node("n2").cordoned())
            .runs(&deployment("web"), ["n1", "n1", "n2"])
            .runs(&stateful_set("db"), ["n2"])
            .runs(&daemon_set("log"), ["n1", "n2"])
            .with(job("sum"))
            .with(pod("sum-x").of(&job("sum")).empty_dir("scratch"))
            .with(pod("cache").of_kind("example.com/v1", "Flock", "cache"))
            .with(budget("web").max_unavailable("1"))
            .with(budget("db").min_available("1"));
        let options = Options { ignore_daemonsets: true, delete_emptydir_data: true, ..Options::default() };
        let targets = ["n1", "n2"].map(|name| NodeName(name.into()));
        let plan = plan::plan(&world, &targets, &options).unwrap();
        let place = Place { context: Some("kind".into()), cluster: Some("kind-cluster".into()) };
        insta::assert_json_snapshot!(DrainPlan::new(&plan, place));
    }

    /// One owner is meant wherever one is named.
    #[test]
    fn an_owner_of_whom_only_the_name_is_known() {
        let web = deployment("web");
        let set = replica_set("web-5f7").of(&web);
        let mut world = world().with(node("n1")).with(set.clone());
        world.mark_unknown(Kind::Workload(WorkloadKind::Deployment), Unreadable::NotInFile);
        let world = world.with(pod("web-5f7-a").of(&set)).with(pod("web-5f7-b").of(&set));
        let (targets, options) = ([NodeName("n1".into())], Options::default());
        let plan = plan::plan(&world, &targets, &options).unwrap();
        let document = DrainPlan::new(&plan, Place::default());
        let owner = Some(PodOwner::new("Deployment", "web"));
        for pod in &document.pods {
            assert_eq!((&pod.owner, &pod.replacement.by), (&owner, &owner), "{}", pod.name);
        }
        let implied = &document.implied_budgets[0];
        assert_eq!((implied.kind.as_str(), implied.name.as_str()), ("Deployment", "web"));
        let needed: Vec<&str> = document
            .unknowns
            .iter()
            .filter(|unknown| document.needs(unknown))
            .map(|unknown| unknown.resource.as_str())
            .collect();
        assert_eq!(needed, ["deployments.apps"]);
        assert!(document.diff.contains("deployment/web: 2\n"), "{}", document.diff);
    }

    #[test]
    fn what_the_server_says_of_a_pod() {
        #[track_caller]
        fn check(refused_by: RefusedBy, expected: (PlanVerdict, u8, &[&str], &str)) {
            let world = world().with(node("n1")).runs(&deployment("web"), ["n1"]);
            let (targets, options) = ([NodeName("n1".into())], Options::default());
            let mut document = DrainPlan::new(&plan::plan(&world, &targets, &options).unwrap(), Place::default());
            let before = document.message.clone();
            document.record_server_answers(vec![ServerAnswer {
                object: format!("pod/{}/{}", document.pods[0].namespace, document.pods[0].name),
                request: ServerRequest::Evict,
                accepted: false,
                code: None,
                refused_by: Some(refused_by),
                message: "why".into(),
            }]);
            let DrainPlan { verdict, exit_code, pods, message, .. } = document;
            let errors = pods[0].reasons.iter().filter(|reason| reason.severity == ReasonSeverity::Error);
            let codes: Vec<&str> = errors.map(|reason| reason.code.as_str()).collect();
            let sentence = message.strip_suffix(&format!("; by our own rules: {before}")).unwrap();
            assert_eq!((verdict, exit_code, codes.as_slice(), sentence), expected);
        }
        let refuses = "the server refuses 1 request";
        check(RefusedBy::Server, (PlanVerdict::Refused, 3, &["ServerRefused"], refuses));
        check(RefusedBy::Budget, (PlanVerdict::Blocked, 4, &["ServerRefused"], refuses));
        check(RefusedBy::NoAnswer, (PlanVerdict::Clear, 1, &[], "the server gave no answer to 1 request"));
    }

    #[test]
    fn the_schemas_are_written_down() {
        schema::check_written::<DrainPlan>("DrainPlan");
        schema::check_written::<DrainResult>("DrainResult");
        schema::check_written::<RepairResult>("RepairResult");
    }

    /// What programs read of a repair.
    #[test]
    fn the_contract_of_a_repair() {
        let repair = schema::of::<RepairResult>();
        assert_eq!(repair.keys(""), "apiVersion dryRun exitCode kind nodes");
        assert_eq!(repair.keys("NodeRepair"), "message name outcome");
        assert_eq!(repair.values("RepairOutcome"), "Failed Gone LeftAlone RecordRemoved Uncordoned");
        assert!(repair.requires("nodes"), "empty, but never absent");
        let node = NodeRepair { name: "n1".into(), outcome: RepairOutcome::Uncordoned, message: String::new() };
        let result = RepairResult::new(vec![node], Exit::Forbidden, "server");
        let expected = r#"{"apiVersion":"disruption/v1alpha1","kind":"RepairResult","exitCode":11,"dryRun":"server","nodes":[{"name":"n1","outcome":"Uncordoned","message":""}]}"#;
        assert_eq!(serde_json::to_string(&result).unwrap(), expected);
    }

    /// The words that the design promises to programs.
    #[test]
    fn the_contract() {
        let plan = schema::of::<DrainPlan>();
        let keys = |of: &str, expected: &str| assert_eq!(plan.keys(of), expected, "keys of {of}");
        let values = |of: &str, expected: &str| assert_eq!(plan.values(of), expected, "values of {of}");
        keys(
            "",
            "apiVersion budgets cluster context diff estimatedSeconds exitCode impliedBudgets kind message nodes options pods serverDryRun surges takenAt unknowns verdict waves",
        );
        keys("PlannedNode", "name ready uid unschedulable willCordon");
        keys("PlannedPod", "action budget name namespace node owner reasons replacement uid wave");
        keys("PodOwner", "kind name");
        keys("PodReason", "code message remedy severity");
        keys("PodBudget", "message names verdict");
        keys("Replacement", "by reasons verdict");
        keys("PlannedWave", "index pods waitsFor");
        keys(
            "PlannedBudget",
            "currentHealthy desiredHealthy disruptionsAllowed expectedPods message name namespace verdict",
        );
        keys("Surge", "from kind name namespace reason to");
        assert!(plan.requires("context"), "null, but never absent");
        assert!(!plan.requires("serverDryRun"), "absent unless it was asked");
        values("PlanVerdict", "Blocked Clear NoRoom Refused");
        values("PodAction", "Evict Refuse Skip Wait");
        values("ReasonSeverity", "Error Info Warning");
        values(
            "PodBudgetVerdict",
            "Allowed AlwaysBlocked BlockedNow Free Later MultipleBudgets None StillProcessing SyncFailed Unknown",
        );
        values("ReplacementVerdict", "Fits FitsIfPacked NoRoom None Unknown");
        values("BudgetVerdict", "AlwaysBlocked BlockedNow Open StillProcessing SyncFailed Unknown");
    }
}
