//! The revisions of a workload, as we tell them and as kubectl does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use thiserror::Error;

use super::{
    describe,
    document::{HistoryRevision, RevisionMark, RolloutHistory, RolloutPhase, RolloutWorkload},
    look,
    target::{self, Why},
    template,
    verdict::Limits,
    view::Subject,
};
use crate::{
    document::API_VERSION,
    model::{CHANGE_CAUSE_ANNOTATION, ObjectName, Revision, Rollout, RolloutKind, TEMPLATE_HASH_LABEL},
    snapshot::Kind,
};

/// The revisions of a workload.
#[derive(Debug, Clone)]
pub struct History<'a> {
    /// Whose they are.
    pub rollout: &'a Rollout,
    /// By number, which is the order in which they were rolled out last. Of several with one number, as kubectl, the last
    /// by name.
    pub entries: Vec<Entry<'a>>,
    /// Revisions whose number cannot be read: kubectl warns and leaves them out.
    pub unnumbered: Vec<&'a ObjectName>,
}

/// One revision.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Its number.
    pub number: i64,
    /// The object that holds it.
    pub revision: &'a Revision,
    /// Container to image.
    pub images: BTreeMap<String, String>,
    /// Its pods that are Ready; none where neither a `ReplicaSet` nor pods tell.
    pub ready: Option<i32>,
    /// Why it was rolled out, in somebody's words.
    pub change_cause: Option<&'a str>,
    /// What is to be known about it.
    pub marks: BTreeSet<RevisionMark>,
}

/// A history has no revision of the wanted number. The text is kubectl's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unable to find the specified revision")]
pub struct UnknownRevision;

/// The revisions of a workload. `last_good` is the number of the last one that was seen to be good.
pub fn history<'a>(subject: &Subject<'a>, last_good: Option<i64>) -> History<'a> {
    // The server lists by name, and kubectl keeps the last of a number.
    let mut revisions = subject.revisions.clone();
    revisions.sort_by_key(|revision| &revision.name);
    let numbered: BTreeMap<i64, &Revision> =
        revisions.iter().filter_map(|revision| Some((revision.number?, *revision))).collect();
    let bad = target::bad_versions(subject.rollout);
    let current = subject.current().map(|revision| &revision.uid);
    let before = std::iter::once(None).chain(numbered.values().copied().map(Some));
    let entries = numbered.iter().zip(before).map(|((&number, &revision), before)| {
        let marks = [
            (RevisionMark::Current, current == Some(&revision.uid)),
            (RevisionMark::LastGood, last_good == Some(number)),
            (RevisionMark::Bad, bad.contains(&revision.version)),
            (RevisionMark::RestartOnly, before.is_some_and(|before| is_restart(before, revision))),
        ];
        Entry {
            number,
            revision,
            images: template::images(&revision.template),
            ready: ready(subject, revision),
            change_cause: change_cause(revision),
            marks: marks.into_iter().filter(|(_, holds)| *holds).map(|(mark, _)| mark).collect(),
        }
    });
    History {
        rollout: subject.rollout,
        entries: entries.collect(),
        unnumbered: revisions.iter().filter(|it| it.number.is_none()).map(|it| &it.name).collect(),
    }
}

/// The number of the last revision that the cluster shows to be good: the current one once it is rolled out and nothing is
/// wrong with it, else the one with available pods; none where nothing tells.
pub fn last_good(subject: &Subject<'_>, limits: &Limits) -> Option<i64> {
    if look::look(subject, limits, &[]).phase == RolloutPhase::Complete {
        return subject.current()?.number;
    }
    let target = target::choose(subject, None, &BTreeSet::new()).ok()?;
    let is_proven = match target.why {
        Why::LastComplete | Why::ReadyFrom { .. } | Why::Available { .. } | Why::SeenReady => true,
        Why::Asked { .. } | Why::MostPods(_) | Why::Newest | Why::Doubtful => false,
    };
    target.revision.number.filter(|_| is_proven)
}

impl History<'_> {
    /// The history as a document.
    pub fn document(&self) -> RolloutHistory {
        RolloutHistory {
            api_version: API_VERSION.to_owned(),
            kind: "RolloutHistory".to_owned(),
            workload: RolloutWorkload::of(self.rollout),
            revisions: self.entries.iter().map(HistoryRevision::from).collect(),
        }
    }

    /// The revision of this number.
    ///
    /// # Errors
    /// There is none.
    pub fn entry(&self, number: i64) -> Result<&Entry<'_>, UnknownRevision> {
        self.entries.iter().find(|entry| entry.number == number).ok_or(UnknownRevision)
    }

    /// What changed in the template from one revision to another, as a unified diff; empty where nothing did.
    ///
    /// # Errors
    /// There is no such revision.
    pub fn diff(&self, from: i64, to: i64) -> Result<String, UnknownRevision> {
        let (before, after) = (&self.entry(from)?.revision.template, &self.entry(to)?.revision.template);
        let title = |number: i64| format!("{} revision {number}", self.rollout.shown());
        Ok(template::diff_between((&title(from), before), (&title(to), after)))
    }

    /// Exactly what `kubectl rollout history` prints, of all revisions or of one.
    ///
    /// # Errors
    /// There is no such revision.
    pub fn plain(&self, revision: Option<i64>) -> Result<String, UnknownRevision> {
        let revision = revision.filter(|revision| *revision > 0);
        let text = match revision {
            _ if self.entries.is_empty() => "No rollout history found.".to_owned(),
            Some(number) => self.entry(number)?.describe(self.rollout.kind),
            None => self.table(),
        };
        let with = revision.map(|revision| format!("with revision #{revision}")).unwrap_or_default();
        Ok(format!("{}.apps/{} {with}\n{text}\n", self.rollout.kind.singular(), self.rollout.name.name))
    }

    /// Go's tabwriter pads all but the last column with two blanks at least.
    fn table(&self) -> String {
        const HEAD: &str = "REVISION";
        let numbers: Vec<String> = self.entries.iter().map(|entry| entry.number.to_string()).collect();
        let width = numbers.iter().map(String::len).max().unwrap_or_default().max(HEAD.len()) + 2;
        let mut text = format!("{HEAD:width$}CHANGE-CAUSE\n");
        for (number, entry) in numbers.iter().zip(&self.entries) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{number:width$}{}", entry.change_cause.unwrap_or("<none>"));
        }
        text
    }
}

impl Entry<'_> {
    /// The template as kubectl has it: a `ReplicaSet`'s names its version, and says why it was rolled out.
    fn describe(&self, kind: RolloutKind) -> String {
        let mut template = self.revision.template.clone();
        if kind == RolloutKind::Deployment {
            if !self.revision.version.0.is_empty() {
                template["metadata"]["labels"][TEMPLATE_HASH_LABEL] = self.revision.version.0.as_str().into();
            }
            if let Some(cause) = self.change_cause {
                template["metadata"]["annotations"][CHANGE_CAUSE_ANNOTATION] = cause.into();
            }
        }
        describe::template(&template)
    }
}

impl From<&Entry<'_>> for HistoryRevision {
    fn from(entry: &Entry<'_>) -> Self {
        let Entry { number, revision, images, ready, change_cause, marks } = entry;
        Self {
            revision: *number,
            version: revision.version.0.clone(),
            created_at: revision.created_at,
            images: images.clone(),
            ready: *ready,
            change_cause: change_cause.map(str::to_owned),
            marks: marks.iter().copied().collect(),
        }
    }
}

fn is_restart(before: &Revision, revision: &Revision) -> bool {
    template::same_but_for_a_restart(&before.template, &revision.template)
        && !template::same(&before.template, &revision.template)
}

fn ready(subject: &Subject<'_>, revision: &Revision) -> Option<i32> {
    if let Some(counts) = revision.counts {
        return Some(counts.ready);
    }
    let ready = || subject.pods_of(&revision.version).into_iter().filter(|pod| pod.is_ready() && !pod.is_finished());
    subject.knows(Kind::Pod).then(|| i32::try_from(ready().count()).unwrap_or(i32::MAX))
}

/// That of the object, else, for a `ReplicaSet`, that of the template (`DeploymentHistoryViewer`).
fn change_cause(revision: &Revision) -> Option<&str> {
    let of_object = revision.change_cause.as_deref().filter(|cause| !cause.is_empty());
    let is_replica_set = revision.owner.is("apps", RolloutKind::Deployment.as_str());
    let of_template = || revision.template.get("metadata")?.get("annotations")?.get(CHANGE_CAUSE_ANNOTATION)?.as_str();
    of_object.or_else(|| of_template().filter(|cause| is_replica_set && !cause.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{
            fixture::{Scene, template},
            target::BAD_VERSIONS_ANNOTATION,
        },
        *,
    };
    use crate::model::REVISION_ANNOTATION;

    /// kubectl's H1: a Deployment with four revisions, the later two with a cause.
    fn four() -> Scene {
        let add = |scene: Scene, number: i64, cause: Option<&str>| {
            let scene =
                scene.revision(number, &template(&format!("x:{number}")), 0, 0).with("/metadata/labels", json!({}));
            let annotations = json!({REVISION_ANNOTATION: number.to_string(), CHANGE_CAUSE_ANNOTATION: cause});
            match cause {
                Some(_) => scene.with("/metadata/annotations", annotations),
                None => scene,
            }
        };
        let scene = Scene::alone(RolloutKind::Deployment, &json!({}), &json!({}));
        let scene = add(add(scene, 1, None), 2, None);
        add(add(scene, 3, Some("foo change cause")), 4, Some("bar change cause"))
    }

    #[test]
    fn kubectls_table() {
        insta::assert_snapshot!(history(&four().subject(), None).plain(None).unwrap());
    }

    /// kubectl's H2.
    #[test]
    fn kubectls_detail() {
        let expected = "deployment.apps/web with revision #3\nPod Template:\n  Labels:\tapp=web\n  \
            Annotations:\tkubernetes.io/change-cause: foo change cause\n  Containers:\n   web:\n    Image:\tx:3\n    \
            Port:\t<none>\n    Host Port:\t<none>\n    Environment:\t<none>\n    Mounts:\t<none>\n  Volumes:\t<none>\n  \
            Node-Selectors:\t<none>\n  Tolerations:\t<none>\n\n";
        assert_eq!(history(&four().subject(), None).plain(Some(3)).unwrap(), expected);
        let scene = Scene::of(RolloutKind::Deployment, &json!({}));
        let plain = history(&scene.subject(), None).plain(Some(2)).unwrap();
        assert!(plain.contains("  Labels:\tapp=web\n\tpod-template-hash=v2\n  Containers:\n"), "{plain}");
    }

    #[test]
    fn what_changed_between_two() {
        let scene = four();
        let subject = scene.subject();
        let history = history(&subject, None);
        let diff = history.diff(1, 4).unwrap();
        assert!(diff.starts_with("--- deployment/web revision 1\n+++ deployment/web revision 4\n"), "{diff}");
        let changed: Vec<&str> = diff.lines().skip(2).filter(|line| line.starts_with(['+', '-'])).collect();
        assert_eq!(changed, ["-  - image: x:1", "+  - image: x:4"]);
        assert_eq!(history.diff(2, 2), Ok(String::new()));
        assert_eq!(history.diff(1, 9), Err(UnknownRevision));
    }

    /// kubectl's H3: `-o json` without a revision gives all of them.
    #[test]
    fn the_document() {
        let scene = four().pods(&["4 ready"]);
        insta::assert_json_snapshot!(history(&scene.subject(), Some(3)).document());
    }

    /// kubectl's H4 and H5: its own words for each kind, and where there is nothing.
    #[test]
    fn what_kubectl_prints() {
        #[track_caller]
        fn check(scene: &Scene, revision: Option<i64>, expected: &str) {
            let plain = history(&scene.subject(), None).plain(revision);
            assert_eq!(plain.unwrap_or_else(|error| error.to_string()), expected);
        }
        let one = |kind| Scene::alone(kind, &json!({}), &json!({})).revision(1, &template("nginx"), 0, 0);
        let table = |kind: &str| format!("{kind}.apps/web \nREVISION  CHANGE-CAUSE\n1         <none>\n\n");
        let detail = |kind: &str| {
            format!(
                "{kind}.apps/web with revision #1\nPod Template:\n  Labels:\tapp=web\n  Containers:\n   web:\n    \
                Image:\tnginx\n    Port:\t<none>\n    Host Port:\t<none>\n    Environment:\t<none>\n    Mounts:\t<none>\n  \
                Volumes:\t<none>\n  Node-Selectors:\t<none>\n  Tolerations:\t<none>\n\n"
            )
        };
        for (kind, name) in [(RolloutKind::StatefulSet, "statefulset"), (RolloutKind::DaemonSet, "daemonset")] {
            check(&one(kind), None, &table(name));
            check(&one(kind), Some(0), &table(name));
            check(&one(kind), Some(1), &detail(name));
            check(&one(kind), Some(2), "unable to find the specified revision");
        }
        let nothing = Scene::alone(RolloutKind::Deployment, &json!({}), &json!({}));
        check(&nothing, None, "deployment.apps/web \nNo rollout history found.\n");
        check(&nothing, Some(2), "deployment.apps/web with revision #2\nNo rollout history found.\n");
    }

    #[test]
    fn numbers_that_are_missing_doubled_or_unreadable() {
        let scene = Scene::alone(RolloutKind::Deployment, &json!({}), &json!({}));
        let named = |scene: Scene, name: &str, number: &str| {
            let scene =
                scene.revision(1, &template(name), 0, 0).with("/metadata/name", name).with("/metadata/uid", name);
            scene.with("/metadata/annotations", json!({REVISION_ANNOTATION: number}))
        };
        let scene = named(scene, "a", "10").with("/metadata/creationTimestamp", json!(crate::fixture::now()));
        let scene = named(named(named(named(scene, "b", "one"), "c", "0"), "d", "9"), "e", "10");
        let subject = scene.subject();
        let history = history(&subject, None);
        let rows: Vec<(i64, &str)> =
            history.entries.iter().map(|entry| (entry.number, entry.revision.name.name.as_str())).collect();
        assert_eq!(rows, [(0, "c"), (9, "d"), (10, "e")]);
        assert_eq!(history.unnumbered, [&ObjectName::new("shop", "b")]);
    }

    #[test]
    fn marks() {
        #[track_caller]
        fn check(annotation: Option<&str>, last_good: Option<i64>, expected: [&[RevisionMark]; 5]) {
            let mut restarted = template("x:2");
            restarted["metadata"]["annotations"][template::RESTARTED_AT] = "2026-01-01T00:00:00Z".into();
            let scene = Scene::new(RolloutKind::Deployment, &template("x:1"))
                .set(
                    "/metadata/annotations",
                    annotation.map_or(json!({}), |text| json!({BAD_VERSIONS_ANNOTATION: text})),
                )
                .revision(2, &template("x:2"), 0, 0)
                .revision(3, &restarted, 0, 0)
                .revision(7, &template("x:0"), 0, 0)
                .revision(8, &template("x:0"), 0, 0)
                .revision(9, &template("x:1"), 0, 0);
            let subject = scene.subject();
            let marks: Vec<Vec<RevisionMark>> = history(&subject, last_good)
                .entries
                .iter()
                .map(|entry| entry.marks.iter().copied().collect())
                .collect();
            assert_eq!(marks, expected);
        }
        use RevisionMark::{Bad, Current, LastGood, RestartOnly};
        check(None, None, [&[], &[RestartOnly], &[], &[], &[Current]]);
        check(Some(r#"["v3", "v9", "gone"]"#), Some(2), [&[LastGood], &[Bad, RestartOnly], &[], &[], &[Current, Bad]]);
        check(Some("3"), Some(6), [&[], &[RestartOnly], &[], &[], &[Current]]);
    }

    #[test]
    fn the_last_that_is_seen_to_be_good() {
        #[track_caller]
        fn check(scene: &Scene, expected: Option<i64>) {
            let minutes = jiff::SignedDuration::from_mins;
            let limits = Limits { stall: minutes(2), max_restarts: 3, stable_for: None };
            assert_eq!(last_good(&scene.subject(), &limits), expected);
        }
        let two = |pods: &[&str]| Scene::of(RolloutKind::Deployment, &json!({"replicas": 2})).pods(pods);
        check(&two(&["2 ready", "2 ready"]), Some(2));
        check(&two(&["1 ready", "1 ready", "2 unready"]), Some(1));
        check(&two(&["1 unready", "2 unready"]), None);
    }

    #[test]
    fn ready_pods() {
        #[track_caller]
        fn check(scene: &Scene, expected: [Option<i32>; 2]) {
            let ready: Vec<Option<i32>> = history(&scene.subject(), None).entries.iter().map(|it| it.ready).collect();
            assert_eq!(ready, expected);
        }
        let pods = ["1 ready", "2 ready", "2 ready", "2 unready", "2 stopping"];
        let set = || Scene::of(RolloutKind::StatefulSet, &json!({"replicas": 3})).pods(&pods);
        check(&set(), [Some(1), Some(2)]);
        check(&set().without(Kind::Pod), [None, None]);
        let deployment = Scene::new(RolloutKind::Deployment, &template("x:2")).revision(1, &template("x:1"), 4, 4);
        let deployment = deployment.revision(2, &template("x:2"), 0, 0).without(Kind::Pod);
        check(&deployment, [Some(4), Some(0)]);
    }

    #[test]
    fn whose_cause_counts() {
        #[track_caller]
        fn check(kind: RolloutKind, of_object: Option<&str>, of_template: &str, expected: Option<&str>) {
            let mut template = template("x:2");
            template["metadata"]["annotations"][CHANGE_CAUSE_ANNOTATION] = of_template.into();
            let annotations = json!({REVISION_ANNOTATION: "1", CHANGE_CAUSE_ANNOTATION: of_object});
            let scene = Scene::new(kind, &template).revision(1, &template, 0, 0);
            let scene = match of_object {
                Some(_) => scene.with("/metadata/annotations", annotations),
                None => scene,
            };
            assert_eq!(change_cause(scene.subject().revisions[0]), expected);
        }
        check(RolloutKind::Deployment, Some("set"), "template", Some("set"));
        check(RolloutKind::Deployment, Some(""), "template", Some("template"));
        check(RolloutKind::Deployment, None, "", None);
        check(RolloutKind::DaemonSet, None, "template", None);
    }
}
