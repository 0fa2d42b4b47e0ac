//! What people see, plain and coloured, 80 columns wide.

use disruption::{
    drain::{
        document::{DrainPlan, Place, RefusedBy, ServerAnswer, ServerRequest},
        options::Options,
        plan,
    },
    model::NodeName,
    snapshot,
};
use plugin::printer::{ColorChoice, Printer};
use serde_json::{Value, json};

const SHOP: &str = include_str!("../../../../examples/shop.yaml");

fn document(cluster: &str, nodes: &[&str], options: &Options) -> DrainPlan {
    let snapshot = snapshot::read(cluster.as_bytes()).unwrap();
    let nodes: Vec<NodeName> = nodes.iter().map(|name| NodeName((*name).to_owned())).collect();
    let place = Place { context: Some("shop-admin".into()), cluster: Some("shop".into()) };
    DrainPlan::new(&plan::plan(&snapshot, &nodes, options).unwrap(), place)
}

fn rendered(document: &DrainPlan, color: ColorChoice) -> String {
    let (mut printer, captured) = Printer::captured(color);
    super::plan(&mut printer.out, document);
    captured.out()
}

fn every_flag() -> Options {
    Options { force: true, ignore_daemonsets: true, delete_emptydir_data: true, ..Options::default() }
}

#[test]
fn a_refused_plan() {
    let document = document(SHOP, &["worker-3"], &Options::default());
    insta::assert_snapshot!(rendered(&document, ColorChoice::Never));
}

#[test]
fn a_blocked_plan_in_colour() {
    let document = document(SHOP, &["worker-3"], &every_flag());
    let text = rendered(&document, ColorChoice::Always);
    insta::assert_snapshot!(text.replace('\u{1b}', "^["));
}

#[test]
fn a_clear_plan_of_two_nodes() {
    let mut options = every_flag();
    options.pod_selector = Some("app!=payments".parse().unwrap());
    insta::assert_snapshot!(rendered(&document(SHOP, &["worker-1", "worker-3"], &options), ColorChoice::Never));
}

#[test]
fn colour_adds_nothing_to_the_text() {
    let document = document(SHOP, &["worker-3"], &Options::default());
    let colored = rendered(&document, ColorChoice::Always);
    assert_eq!(anstream::adapter::strip_str(&colored).to_string(), rendered(&document, ColorChoice::Never));
}

/// A plan of which the server accepts the cordon, and not the first eviction.
fn answered(code: u16, refused_by: RefusedBy, message: &str) -> String {
    let mut document = document(SHOP, &["worker-1"], &every_flag());
    let pod = document.pods.iter().find(|pod| pod.wave == Some(1)).unwrap();
    let evict = format!("pod/{}/{}", pod.namespace, pod.name);
    document.record_server_answers(vec![
        ServerAnswer {
            object: "node/worker-1".into(),
            request: ServerRequest::Cordon,
            accepted: true,
            code: None,
            refused_by: None,
            message: String::new(),
        },
        ServerAnswer {
            object: evict,
            request: ServerRequest::Evict,
            accepted: false,
            code: Some(code),
            refused_by: Some(refused_by),
            message: message.into(),
        },
    ]);
    rendered(&document, ColorChoice::Never)
}

#[test]
fn a_servers_refusal() {
    let message = "admission webhook \"guard\" denied the request: the shop is open";
    insta::assert_snapshot!(answered(403, RefusedBy::Server, message));
}

/// Nobody has refused: nothing is to be solved.
#[test]
fn a_server_that_does_not_answer() {
    let text = answered(503, RefusedBy::NoAnswer, "the server is currently unable to handle the request");
    assert!(!text.contains("Must be solved first:"), "{text}");
    let told = "Server dry run: 1 of 2 requests accepted\n  evict pod/";
    assert!(text.contains(told) && text.contains("(503): the server is currently unable"), "{text}");
    assert!(text.contains("the server gave no answer to 1 request; by our own rules: "), "{text}");
}

/// A full node: 110 pods of 33 owners.
fn full_node() -> String {
    let mut items = vec![json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "n1"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}})];
    let owner = |version: &str, kind: &str, name: &str| json!([{"apiVersion": version, "kind": kind, "name": name, "uid": format!("{kind}-{name}"), "controller": true}]);
    let pod = |name: String, app: &str, owner: Value| {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": app}, "ownerReferences": owner},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80}]}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
    };
    for number in 0..25 {
        let app = format!("service-{number}");
        items.push(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": app, "namespace": "shop", "uid": format!("Deployment-{app}")},
            "spec": {"replicas": 4, "selector": {}, "template": {}}}));
        items.push(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": app, "namespace": "shop", "uid": format!("ReplicaSet-{app}"),
                "ownerReferences": owner("apps/v1", "Deployment", &app)},
            "spec": {"replicas": 4, "selector": {}}}));
        for index in 0..4 {
            items.push(pod(format!("{app}-{index}"), &app, owner("apps/v1", "ReplicaSet", &app)));
        }
        items.push(json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": app, "namespace": "shop", "uid": format!("budget-{app}"), "generation": 1},
            "spec": {"maxUnavailable": 2, "selector": {"matchLabels": {"app": app}}}, "status": {"observedGeneration": 1}}));
    }
    for number in 0..10 {
        let name = format!("agent-{number}");
        items.push(json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("DaemonSet-{name}")},
            "spec": {"selector": {}, "template": {}}}));
        items.push(pod(name.clone(), &name, owner("apps/v1", "DaemonSet", &name)));
    }
    json!({"kind": "List", "apiVersion": "v1", "items": items}).to_string()
}

/// The most lines that a table of 110 pods may take: a screen.
const SCREEN: usize = 50;

#[test]
fn a_full_node_fits_a_screen() {
    let document = document(&full_node(), &["n1"], &Options::default());
    assert_eq!(document.pods.len(), 110);
    let text = rendered(&document, ColorChoice::Never);
    let too_wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert_eq!(too_wide, Vec::<&str>::new());
    let until_budgets = text.lines().take_while(|line| !line.starts_with("BUDGET")).count();
    assert!(until_budgets <= SCREEN, "{until_budgets} lines before the budgets:\n{text}");
}
