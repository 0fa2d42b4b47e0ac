//! What may go now, and what everybody else waits for: one look at the cluster, without any effect.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    Drain,
    node::{NodeDrain, Stage as NodeStage},
    pod::{Delay, Stage, Tracked},
};
use crate::{
    action::TroubleKind,
    budget::ledger::{Account, Answer, Block, ImpliedAccount, Ledger},
    drain::{filter, options::OnBlocked, text, waves},
    event::WaitCode,
    model::{NodeName, ObjectName, Pod, Uid},
    workload::Owner,
};

/// What follows from one look.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// By workload that owes pods: its Ready pods, and how many it still misses.
    pub(super) standings: BTreeMap<Uid, (i32, i32)>,
    /// The pods to ask now, with the workload that must make them good.
    pub(super) going: Vec<(usize, Option<Creditor>)>,
    pub(super) waits: BTreeMap<Subject, Wait>,
    /// By pod: what it waits for.
    pub(super) reasons: BTreeMap<usize, (Subject, String)>,
    /// Pods that are given up, because what they wait for does not come; with the reason.
    pub(super) given_up: Vec<(usize, String)>,
    /// Pods that have been terminating for longer than `--skip-wait-for-delete-timeout`.
    pub(super) skipped: Vec<usize>,
    /// Pods about which the status of their budget and our own count differ.
    pub(super) contradicted: BTreeSet<usize>,
    /// Pods that their budgets can never let go as things are; with the reason.
    pub(super) impossible: BTreeMap<usize, String>,
}

/// A workload that must get its Ready pods back.
#[derive(Debug)]
pub(super) struct Creditor {
    pub(super) uid: Uid,
    /// Kind and name, as in `Deployment shop/web`.
    pub(super) shown: String,
    pub(super) ready: i32,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Budget(ObjectName),
    Workload(Uid),
    Node(NodeName),
    Pod(Uid),
    Namespace(String),
    Server(String),
}

/// A wait in words.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pub(super) shown: String,
    pub(super) code: WaitCode,
    pub(super) pods: usize,
    pub(super) message: String,
    pub(super) remedy: Option<String>,
}

/// How long a refusal of the server, or a status that contradicts our own count, is believed without news of the budget:
/// the watch wakes us the moment there is some, so this is only for news that was lost.
pub(super) const WITHOUT_NEWS: SignedDuration = SignedDuration::from_secs(10);

/// How long after its grace period a pod that is still there is worth a word. A kubelet takes a second or two.
pub(super) const OVERDUE: SignedDuration = SignedDuration::from_secs(10);

/// States through which every pod goes when it starts.
const USUAL_STARTS: [&str; 2] = ["ContainerCreating", "PodInitializing"];

impl Drain {
    /// Looks at the cluster as it is shown now.
    pub(super) fn choose(&self) -> Choice {
        let mut choice = Choice::default();
        let counted: Vec<&Pod> =
            self.pods.iter().filter(|tracked| tracked.counts()).map(|tracked| &tracked.pod).collect();
        let mut ledger = Ledger::open_since(&self.view.snapshot, &counted, &self.options, &self.ready_at_start);
        for tracked in self.pods.iter().filter(|tracked| tracked.is_as_good_as_gone()) {
            ledger.take(&tracked.pod);
        }
        for tracked in &self.pods {
            if let (Some(uid), Some(account)) = (&tracked.gate, ledger.gate(&tracked.pod))
                && uid == account.uid
            {
                choice.standings.insert(uid.clone(), (account.running(), account.missing()));
            }
        }
        let asking = self.pods.iter().filter(|tracked| tracked.stage == Stage::Asking).count();
        let mut free = usize::from(self.execution.concurrency).saturating_sub(asking);
        for number in self.candidates() {
            let tracked = &self.pods[number];
            if self.view.is_blind_for(&tracked.pod) {
                continue;
            }
            if self.may_go(number, &ledger, &mut choice) && free > 0 {
                free -= 1;
                let gate = ledger.gate(&tracked.pod).filter(|_| tracked.pod.is_healthy());
                let creditor = gate.map(|account| Creditor {
                    uid: account.uid.clone(),
                    shown: shown_owner(account),
                    ready: account.ready,
                });
                choice.going.push((number, creditor));
                if !tracked.is_as_good_as_gone() {
                    ledger.take(&tracked.pod);
                }
            }
        }
        self.look_at_leases(&mut choice);
        self.look_at_stopping_pods(&mut choice);
        self.look_at_debts(&ledger, &mut choice);
        choice
    }

    /// Pods that wait for their turn, the first one first.
    fn candidates(&self) -> Vec<usize> {
        let is_at_work =
            |node: &&NodeDrain| node.stage == NodeStage::Draining && node.stop.is_none() && node.holds_lease(self.now);
        let nodes: BTreeSet<&NodeName> = self.nodes.iter().filter(is_at_work).map(|node| &node.seen.name).collect();
        let mut candidates: Vec<usize> = (0..self.pods.len())
            .filter(|&number| matches!(self.pods[number].stage, Stage::Waiting(_)))
            .filter(|&number| nodes.contains(&self.pods[number].node))
            .collect();
        candidates.sort_by_key(|&number| {
            let tracked = &self.pods[number];
            waves::precedence(&tracked.pod, tracked.comes_back)
        });
        candidates
    }

    /// Whether a pod may be asked to go now; if not, the choice says why.
    fn may_go(&self, number: usize, ledger: &Ledger<'_>, choice: &mut Choice) -> bool {
        let tracked = &self.pods[number];
        let Stage::Waiting(delay) = &tracked.stage else { return false };
        let pod = &tracked.pod;
        let is_over = |since: Option<Timestamp>| since.is_some_and(|at| self.now.duration_since(at) >= WITHOUT_NEWS);
        if let Some((_, trouble)) = self.held.as_ref().filter(|(until, _)| *until > self.now) {
            let (subject, wait) = server_wait(trouble.kind, &trouble.message);
            choice.wait(number, subject, wait);
            return false;
        }
        match delay {
            Delay::Until(at, trouble) if *at > self.now => {
                let (subject, wait) = server_wait(trouble.kind, &trouble.message);
                choice.wait(number, subject, wait);
                return false;
            }
            Delay::Namespace(at, message) if *at > self.now => {
                let namespace = pod.name.namespace.clone();
                let shown = format!("namespace {namespace}");
                choice.wait(
                    number,
                    Subject::Namespace(namespace),
                    Wait::new(shown, WaitCode::Namespace, message.clone()),
                );
                return false;
            }
            _ => {}
        }
        // Counted as gone already: asking again takes nothing more.
        if tracked.is_in_doubt {
            return true;
        }
        let account = ledger.budgets_of(pod).next();
        let answer = ledger.ask(pod);
        if let Answer::Blocked(block) = answer {
            if matches!(block, Block::Always | Block::MultipleBudgets | Block::SyncFailed) {
                choice.impossible.insert(number, self.why_blocked(pod, block, ledger, choice).0);
            }
            let status_allows = account.is_some_and(|account| self.status_allows(account, choice));
            if matches!(block, Block::Now | Block::StillProcessing) && status_allows {
                choice.contradicted.insert(number);
                if is_over(tracked.contradicted_since) {
                    return true;
                }
            }
            self.note_block(number, block, ledger, choice);
            return false;
        }
        if let Delay::Budget { at, changes, message, several } = delay {
            let namespace = &pod.name.namespace;
            let has_news = self.view.follows_budgets(namespace) && self.view.budget_changes(namespace) != *changes;
            // Where several budgets end the drain, asking again would only begin anew.
            let is_final = *several && self.execution.on_blocked == OnBlocked::Refuse;
            if !has_news && (is_final || self.now.duration_since(*at) < WITHOUT_NEWS) {
                let subject =
                    account.map_or(Subject::Pod(pod.uid.clone()), |it| Subject::Budget(it.budget.name.clone()));
                let shown = account.map_or(format!("pod {}", pod.name), |account| text::shown(account.budget));
                choice.wait(number, subject, Wait::new(shown, WaitCode::Budget, message.clone()));
                if *several {
                    choice.impossible.insert(number, message.clone());
                }
                return false;
            }
        }
        match (answer, account) {
            (Answer::Allowed, Some(account)) if self.view.follows_budgets(&pod.name.namespace) => {
                if self.status_allows(account, choice) || is_over(tracked.contradicted_since) {
                    return true;
                }
                choice.contradicted.insert(number);
                false
            }
            _ => true,
        }
    }

    /// Whether the server would allow one more eviction by the status that it goes by, counting what it may not show yet.
    fn status_allows(&self, account: &Account<'_>, choice: &Choice) -> bool {
        let budget = account.budget;
        let draws = |tracked: &&Tracked| {
            let pod = &tracked.pod;
            pod.ready
                && budget.covers(&pod.name.namespace, &pod.labels)
                && !budget.status.disrupted_pods.contains_key(&pod.name.name)
        };
        let under_way = self.pods.iter().filter(|tracked| tracked.is_as_good_as_gone()).filter(draws).count();
        let going = choice.going.iter().map(|(number, _)| &self.pods[*number]).filter(draws).count();
        let allowed = usize::try_from(budget.status.disruptions_allowed).unwrap_or_default();
        budget.status.observed_generation >= budget.generation && allowed > under_way + going
    }

    fn note_block(&self, number: usize, block: Block, ledger: &Ledger<'_>, choice: &mut Choice) {
        let pod = &self.pods[number].pod;
        let gate = ledger.gate(pod);
        if let Some(late) = gate.and_then(|account| self.gates.get(account.uid)?.late.clone()) {
            choice.given_up.push((number, late));
            return;
        }
        let (message, remedy) = self.why_blocked(pod, block, ledger, choice);
        let (subject, shown, code) = match (block, ledger.budgets_of(pod).next(), gate) {
            (Block::Implied, _, Some(gate)) => {
                (Subject::Workload(gate.uid.clone()), shown_owner(gate), WaitCode::Replacement)
            }
            (_, Some(account), _) => {
                (Subject::Budget(account.budget.name.clone()), text::shown(account.budget), WaitCode::Budget)
            }
            _ => (Subject::Pod(pod.uid.clone()), format!("pod {}", pod.name), WaitCode::Budget),
        };
        choice.wait(number, subject, Wait { remedy, ..Wait::new(shown, code, message) });
    }

    /// What a blocked pod waits for, and what helps.
    fn why_blocked(&self, pod: &Pod, block: Block, ledger: &Ledger<'_>, choice: &Choice) -> (String, Option<String>) {
        let accounts: Vec<&Account<'_>> = ledger.budgets_of(pod).collect();
        match (block, accounts.as_slice(), ledger.gate(pod)) {
            (Block::Implied, _, Some(gate)) => {
                let least = gate.target - gate.allowance.unwrap_or_default();
                let trouble = self.trouble_suffix(gate.uid);
                (format!("{} keeps {least} pods Ready{trouble}", shown_owner(gate)), None)
            }
            (Block::Now, [account], _) if self.owes_under(account, choice) => {
                let trouble = ledger.gate(pod).map(|gate| self.trouble_suffix(gate.uid)).unwrap_or_default();
                let desired = account.counts.desired;
                (format!("{} needs {desired} healthy pods{trouble}", text::shown(account.budget)), None)
            }
            (_, [account], _) => {
                let workloads = &self.view.snapshot.workloads;
                (text::block_message(account, Some(pod)), text::block_remedy(account, pod, workloads))
            }
            (_, accounts, _) => (text::several_budgets(accounts), None),
        }
    }

    /// Whether replacements of this drain are what a budget waits for.
    fn owes_under(&self, account: &Account<'_>, choice: &Choice) -> bool {
        let going = choice.going.iter().map(|(number, _)| &self.pods[*number]);
        let under_way = self.pods.iter().filter(|tracked| tracked.is_under_way());
        let debts = self.gates.values().flat_map(|gate| &gate.debts);
        let owed = debts.filter_map(|debt| self.by_uid.get(&debt.pod)).map(|&number| &self.pods[number]);
        let mut pods = going.chain(under_way).chain(owed).map(|tracked| &tracked.pod);
        pods.any(|pod| account.budget.covers(&pod.name.namespace, &pod.labels))
    }

    /// Nodes of which the record could not be renewed for so long that another drain may take them over.
    fn look_at_leases(&self, choice: &mut Choice) {
        let is_held =
            |node: &&NodeDrain| node.stage == NodeStage::Draining && node.stop.is_none() && !node.holds_lease(self.now);
        for name in self.nodes.iter().filter(is_held).map(|node| &node.seen.name) {
            for (number, tracked) in self.pods.iter().enumerate() {
                if tracked.is_waiting() && &tracked.node == name {
                    let message = "the record of this drain on it could not be renewed".to_owned();
                    let wait = Wait::new(format!("node {name}"), WaitCode::Server, message);
                    choice.wait(number, Subject::Node(name.clone()), wait);
                }
            }
        }
    }

    /// Workloads that owe pods and for which nobody waits otherwise.
    fn look_at_debts(&self, ledger: &Ledger<'_>, choice: &mut Choice) {
        let mut blocked: BTreeSet<&Uid> = BTreeSet::new();
        let going: BTreeSet<usize> = choice.going.iter().map(|(number, _)| *number).collect();
        for (number, tracked) in self.pods.iter().enumerate() {
            if matches!(tracked.stage, Stage::Waiting(_)) && !going.contains(&number) {
                blocked.extend(ledger.gate(&tracked.pod).map(|account| account.uid));
            }
        }
        for (uid, gate) in &self.gates {
            let missing = choice.standings.get(uid).map_or(0, |(_, missing)| *missing);
            let is_awaited = gate.debts.iter().any(|debt| self.is_at_work_for(&debt.pod));
            if !is_awaited || gate.late.is_some() || missing == 0 || blocked.contains(uid) {
                continue;
            }
            let trouble = self.trouble_suffix(uid);
            let message = format!("{} gets its Ready pods back{trouble}", gate.owner);
            choice.wait_for(
                Subject::Workload(uid.clone()),
                Wait::new(gate.owner.clone(), WaitCode::Replacement, message),
                0,
            );
        }
    }

    /// Whether the node of a pod is still being drained.
    fn is_at_work_for(&self, pod: &Uid) -> bool {
        let node = self.by_uid.get(pod).map(|&number| &self.pods[number].node);
        let is_at_work = |node: &&NodeDrain| node.stage == NodeStage::Draining && node.stop.is_none();
        self.nodes.iter().filter(is_at_work).any(|at_work| Some(&at_work.seen.name) == node)
    }

    /// Pods that stop, and why it takes so long.
    fn look_at_stopping_pods(&self, choice: &mut Choice) {
        for (number, tracked) in self.pods.iter().enumerate() {
            if tracked.stage != Stage::Leaving || !tracked.is_there {
                continue;
            }
            let pod = &tracked.pod;
            let over = pod.deletion.map(|deletion| self.now.duration_since(deletion.at));
            let limit = self.options.skip_wait_for_delete_timeout.map_or(0, |limit| limit.as_secs());
            if limit > 0 && over.is_some_and(|over| u64::try_from(over.as_secs()).unwrap_or_default() > limit) {
                choice.skipped.push(number);
                continue;
            }
            let node = self.nodes.iter().map(|node| &node.seen).find(|node| node.name == tracked.node);
            if let Some(node) = node.filter(|node| !node.ready) {
                let reason =
                    filter::Reason::NodeNotReady { node: &node.name.0, reason: node.not_ready_reason.as_deref() };
                let is_held =
                    |other: &&Tracked| other.stage == Stage::Leaving && other.is_there && other.node == node.name;
                let held: Vec<String> = self.pods.iter().filter(is_held).map(|it| it.pod.name.to_string()).collect();
                let message = format!("{}: {}", reason.message(), text::list(held.iter()));
                let wait = Wait::new(format!("node {}", node.name), WaitCode::Termination, message);
                choice.wait(number, Subject::Node(node.name.clone()), Wait { remedy: reason.remedy(), ..wait });
                continue;
            }
            let finalizers = filter::holding_finalizers(pod);
            let message = match over {
                Some(over) if over >= SignedDuration::ZERO && !finalizers.is_empty() => {
                    format!("finalizer {} keeps it", finalizers.join(", "))
                }
                Some(over) if over >= OVERDUE => {
                    "its grace period is over, and its kubelet has not confirmed that it stopped".into()
                }
                _ => continue,
            };
            choice.wait(
                number,
                Subject::Pod(pod.uid.clone()),
                Wait::new(format!("pod {}", pod.name), WaitCode::Termination, message),
            );
        }
    }

    fn trouble_suffix(&self, workload: &Uid) -> String {
        let Some((pod, reason)) = self.troubled_pod(workload) else { return String::new() };
        // A kubelet's words change with each try.
        let words = pod.trouble_message.as_deref().filter(|_| reason == "Unschedulable");
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        format!("; pod {} is not Ready, {reason}{words}", pod.name)
    }

    /// What keeps a workload from having its Ready pods, in the kubelet's or the scheduler's words.
    pub(super) fn trouble_of(&self, workload: &Uid) -> Option<String> {
        let (pod, reason) = self.troubled_pod(workload)?;
        let words = pod.trouble_message.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
        Some(format!("pod {} is not Ready, {reason}{words}", pod.name))
    }

    fn troubled_pod(&self, workload: &Uid) -> Option<(&Pod, &str)> {
        let view = &self.view.snapshot;
        let troubled = view.pods.iter().filter(|pod| !pod.ready && !pod.is_terminating() && !pod.is_finished());
        let mut pods: Vec<(&Pod, &str)> = troubled
            .filter(|pod| match view.workloads.root(pod) {
                Owner::Workload(owner) => &owner.uid == workload,
                Owner::Custom(owner) | Owner::Unknown(owner) => &owner.uid == workload,
                Owner::None | Owner::Node | Owner::Gone(_) => false,
            })
            .filter_map(|pod| Some((pod, pod.trouble.as_deref()?)))
            .filter(|(_, reason)| !USUAL_STARTS.contains(reason))
            .collect();
        pods.sort_by_key(|(pod, _)| &pod.name);
        pods.first().copied()
    }
}

impl Choice {
    /// One more pod waits for this.
    fn wait(&mut self, number: usize, subject: Subject, wait: Wait) {
        self.reasons.insert(number, (subject.clone(), wait.message.clone()));
        self.wait_for(subject, wait, 1);
    }

    fn wait_for(&mut self, subject: Subject, wait: Wait, pods: usize) {
        self.waits.entry(subject).or_insert(wait).pods += pods;
    }
}

impl Wait {
    fn new(shown: String, code: WaitCode, message: String) -> Self {
        Self { shown, code, pods: 0, message, remedy: None }
    }
}

fn shown_owner(account: &ImpliedAccount<'_>) -> String {
    let (kind, name) = &account.owner;
    format!("{kind} {name}")
}

/// What a message says, without what varies while nothing changes: counts of nodes, and the states that a container that
/// crashes goes through.
pub(super) fn gist(message: &str) -> String {
    const CRASHES: [&str; 4] = ["CrashLoopBackOff", "OOMKilled", "Completed", "Error"];
    let same = CRASHES.iter().fold(message.to_owned(), |text, word| text.replace(word, "crash"));
    // The scheduler counts the nodes of the whole cluster, which come and go.
    same.split(": 0/").next().unwrap_or_default().to_owned()
}

/// A failed request in words, the same for all pods that it happened to.
fn server_wait(kind: TroubleKind, message: &str) -> (Subject, Wait) {
    let what = match kind {
        TroubleKind::Throttled => "the server has too much to do",
        TroubleKind::HeldByWebhook => "a webhook says not now",
        TroubleKind::ServerError => "the server failed",
        TroubleKind::NoAnswer => "the server did not answer",
    };
    let wait = Wait::new("the server".to_owned(), WaitCode::Server, format!("{what}, tried again: {message}"));
    (Subject::Server(format!("{kind:?}")), wait)
}
