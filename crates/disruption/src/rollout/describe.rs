//! A pod template in kubectl's own words (`describe.DescribePodTemplate`), tabs and all.
//!
//! Left out of what kubectl shows: topology spread constraints, the computed value of a `resourceFieldRef`, and the fields
//! of volumes that few people use.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::owner::LAST_APPLIED;

/// What `kubectl rollout history --revision N` prints of a template.
pub fn template(template: &Value) -> String {
    let mut text = Text(String::new());
    text.line(0, "Pod Template:");
    let (metadata, spec) = (&template["metadata"], &template["spec"]);
    text.labels("  Labels", &metadata["labels"]);
    if is_filled(&metadata["annotations"]) {
        text.annotations("  Annotations", &metadata["annotations"]);
    }
    text.field_if_set(1, "Service Account", &spec["serviceAccountName"]);
    if is_filled(&spec["initContainers"]) {
        text.containers("Init Containers", list(&spec["initContainers"]));
    }
    text.containers("Containers", list(&spec["containers"]));
    text.volumes(list(&spec["volumes"]));
    text.field_if_set(1, "Priority Class Name", &spec["priorityClassName"]);
    text.labels("  Node-Selectors", &spec["nodeSelector"]);
    text.tolerations("  Tolerations", list(&spec["tolerations"]));
    text.0
}

/// Longer annotations get lines of their own (`maxAnnotationLen`), in bytes.
const MAX_ANNOTATION: usize = 140;

struct Text(String);

impl Text {
    /// A line, two blanks a level.
    fn line(&mut self, level: usize, text: impl std::fmt::Display) {
        let indent = level * 2;
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }

    fn field(&mut self, level: usize, name: &str, value: impl std::fmt::Display) {
        self.line(level, format_args!("{name}:\t{value}"));
    }

    fn field_if_set(&mut self, level: usize, name: &str, value: &Value) {
        if is_filled(value) {
            self.field(level, name, shown(value));
        }
    }

    /// Several lines behind one title.
    fn lines(&mut self, title: &str, lines: impl IntoIterator<Item = String>) {
        let mut lines = lines.into_iter();
        self.field(0, title, lines.next().unwrap_or_else(|| "<none>".to_owned()));
        lines.for_each(|line| self.line(0, format_args!("\t{line}")));
    }

    fn labels(&mut self, title: &str, labels: &Value) {
        self.lines(title, pairs(labels).map(|(key, value)| format!("{key}={}", shown(value))));
    }

    fn annotations(&mut self, title: &str, annotations: &Value) {
        let shown = pairs(annotations).filter(|(key, _)| *key != LAST_APPLIED).flat_map(|(key, value)| {
            let value = shown(value);
            let value = value.strip_suffix('\n').unwrap_or(&value);
            if value.len() + key.len() + 2 <= MAX_ANNOTATION && !value.contains('\n') {
                return vec![format!("{key}: {value}")];
            }
            let lines = value.split('\n').map(|line| format!("  {}", shortened(line, MAX_ANNOTATION - 2)));
            std::iter::once(format!("{key}:")).chain(lines).collect()
        });
        self.lines(title, shown);
    }

    fn containers(&mut self, title: &str, containers: &[Value]) {
        self.line(1, format_args!("{title}:{}", if containers.is_empty() { " <none>" } else { "" }));
        for container in containers {
            self.line(1, format_args!(" {}:", shown(&container["name"])));
            self.field(2, "Image", shown(&container["image"]));
            self.ports("Port", &container["ports"], "containerPort");
            self.ports("Host Port", &container["ports"], "hostPort");
            self.seccomp(&container["securityContext"]["seccompProfile"]);
            self.arguments("Command", &container["command"]);
            self.arguments("Args", &container["args"]);
            self.resources("Limits", &container["resources"]["limits"]);
            self.resources("Requests", &container["resources"]["requests"]);
            for (name, key) in
                [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
            {
                if is_filled(&container[key]) {
                    self.field(2, name, probe(&container[key]));
                }
            }
            self.environment_from(list(&container["envFrom"]));
            self.environment(list(&container["env"]));
            self.mounts(container);
        }
    }

    fn ports(&mut self, name: &str, ports: &Value, key: &str) {
        let number = |port: &Value| port[key].as_i64().unwrap_or_default();
        let ports: Vec<String> =
            list(ports).iter().map(|port| format!("{}/{}", number(port), shown(&port["protocol"]))).collect();
        let plural = if ports.len() > 1 { "s" } else { "" };
        let ports = if ports.is_empty() { "<none>".to_owned() } else { ports.join(", ") };
        self.line(2, format_args!("{name}{plural}:\t{ports}"));
    }

    fn seccomp(&mut self, profile: &Value) {
        self.field_if_set(2, "SeccompProfile", &profile["type"]);
        if profile["type"] == "Localhost" {
            self.field(3, "LocalhostProfile", shown(&profile["localhostProfile"]));
        }
    }

    fn arguments(&mut self, title: &str, arguments: &Value) {
        if is_filled(arguments) {
            self.line(2, format_args!("{title}:"));
        }
        for argument in list(arguments) {
            shown(argument).split('\n').for_each(|line| self.line(3, line));
        }
    }

    fn resources(&mut self, title: &str, resources: &Value) {
        if is_filled(resources) {
            self.line(2, format_args!("{title}:"));
        }
        pairs(resources).for_each(|(name, quantity)| self.field(3, name, shown(quantity)));
    }

    fn environment_from(&mut self, sources: &[Value]) {
        if !sources.is_empty() {
            self.line(2, "Environment Variables from:");
        }
        for source in sources {
            let (from, reference) = match (&source["configMapRef"], &source["secretRef"]) {
                (map, _) if map.is_object() => ("ConfigMap", map),
                (_, secret) if secret.is_object() => ("Secret", secret),
                (nothing, _) => ("", nothing),
            };
            let prefix = match source["prefix"].as_str() {
                Some(prefix) if !prefix.is_empty() => format!(" with prefix '{prefix}'"),
                _ => String::new(),
            };
            let name = shown(&reference["name"]);
            self.line(3, format_args!("{name}\t{from}{prefix}\tOptional: {}", is_optional(reference)));
        }
    }

    fn environment(&mut self, variables: &[Value]) {
        self.line(2, if variables.is_empty() { "Environment:\t<none>" } else { "Environment:" });
        for variable in variables {
            let (name, from) = (shown(&variable["name"]), &variable["valueFrom"]);
            let (field, resource) = (&from["fieldRef"], &from["resourceFieldRef"]);
            let (secret, map) = (&from["secretKeyRef"], &from["configMapKeyRef"]);
            let key = |reference: &Value| (shown(&reference["key"]), shown(&reference["name"]), is_optional(reference));
            if from.is_null() {
                let value = shown(&variable["value"]);
                let mut lines = value.split('\n');
                self.field(3, &name, lines.next().unwrap_or_default());
                lines.for_each(|line| self.line(3, format_args!("\t{line}")));
            } else if field.is_object() {
                let (version, path) = (shown(&field["apiVersion"]), shown(&field["fieldPath"]));
                self.field(3, &name, format_args!(" ({version}:{path})"));
            } else if resource.is_object() {
                self.field(3, &name, format_args!(" ({})", shown(&resource["resource"])));
            } else if secret.is_object() {
                let (key, of, optional) = key(secret);
                self.field(3, &name, format_args!("<set to the key '{key}' in secret '{of}'>\tOptional: {optional}"));
            } else if map.is_object() {
                let (key, of, optional) = key(map);
                self.field(
                    3,
                    &name,
                    format_args!("<set to the key '{key}' of config map '{of}'>\tOptional: {optional}"),
                );
            }
        }
    }

    fn mounts(&mut self, container: &Value) {
        let sorted = |list: &[Value], key: &str| {
            let mut sorted = list.to_vec();
            sorted.sort_by_key(|item| shown(&item[key]));
            sorted
        };
        let mounts = sorted(list(&container["volumeMounts"]), "mountPath");
        self.line(2, if mounts.is_empty() { "Mounts:\t<none>" } else { "Mounts:" });
        for mount in &mounts {
            let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
            let path = mount["subPath"].as_str().filter(|path| !path.is_empty());
            let path = path.map(|path| format!(",path={path:?}")).unwrap_or_default();
            self.line(3, format_args!("{} from {} ({mode}{path})", shown(&mount["mountPath"]), shown(&mount["name"])));
        }
        let devices = sorted(list(&container["volumeDevices"]), "devicePath");
        if !devices.is_empty() {
            self.line(2, if mounts.is_empty() { "Devices:\t<none>" } else { "Devices:" });
        }
        for device in &devices {
            self.line(3, format_args!("{} from {}", shown(&device["devicePath"]), shown(&device["name"])));
        }
    }

    fn volumes(&mut self, volumes: &[Value]) {
        self.line(1, if volumes.is_empty() { "Volumes:\t<none>" } else { "Volumes:" });
        for volume in volumes {
            self.line(1, format_args!(" {}:", shown(&volume["name"])));
            if let Some((kind, source)) = pairs(volume).find(|(key, _)| *key != "name") {
                self.volume(kind, source);
            } else {
                self.line(1, "<unknown>");
            }
        }
    }

    fn volume(&mut self, kind: &str, source: &Value) {
        let or = |value: &Value, otherwise: &str| if value.is_null() { otherwise.to_owned() } else { shown(value) };
        let flag = |key: &str| (source[key] == true).to_string();
        let text = |key: &str| shown(&source[key]);
        let (name, fields): (&str, Vec<(&str, String)>) = match kind {
            "hostPath" => (
                "HostPath (bare host directory volume)",
                vec![("Path", text("path")), ("HostPathType", or(&source["type"], "<none>"))],
            ),
            "emptyDir" => (
                "EmptyDir (a temporary directory that shares a pod's lifetime)",
                vec![("Medium", text("medium")), ("SizeLimit", or(&source["sizeLimit"], "<unset>"))],
            ),
            "secret" => (
                "Secret (a volume populated by a Secret)",
                vec![("SecretName", text("secretName")), ("Optional", flag("optional"))],
            ),
            "configMap" => (
                "ConfigMap (a volume populated by a ConfigMap)",
                vec![("Name", text("name")), ("Optional", flag("optional"))],
            ),
            "persistentVolumeClaim" => (
                "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
                vec![("ClaimName", text("claimName")), ("ReadOnly", flag("readOnly"))],
            ),
            "nfs" => (
                "NFS (an NFS mount that lasts the lifetime of a pod)",
                vec![("Server", text("server")), ("Path", text("path")), ("ReadOnly", flag("readOnly"))],
            ),
            "image" => (
                "Image (a container image or OCI artifact)",
                vec![("Reference", text("reference")), ("PullPolicy", text("pullPolicy"))],
            ),
            "projected" => (
                "Projected (a volume that contains injected data from multiple sources)",
                list(&source["sources"]).iter().flat_map(projection).collect(),
            ),
            other => (other, Vec::new()),
        };
        self.field(2, "Type", name);
        for (name, value) in fields {
            self.field(2, name, value);
        }
    }

    fn tolerations(&mut self, title: &str, tolerations: &[Value]) {
        let mut tolerations = tolerations.to_vec();
        tolerations.sort_by_key(|toleration| shown(&toleration["key"]));
        self.lines(title, tolerations.iter().map(toleration));
    }
}

fn projection(source: &Value) -> Vec<(&'static str, String)> {
    let optional = |of: &Value| ("Optional", is_optional(of).to_string());
    let (secret, map, token) = (&source["secret"], &source["configMap"], &source["serviceAccountToken"]);
    if secret.is_object() {
        vec![("SecretName", shown(&secret["name"])), optional(secret)]
    } else if source["downwardAPI"].is_object() {
        vec![("DownwardAPI", "true".to_owned())]
    } else if map.is_object() {
        vec![("ConfigMapName", shown(&map["name"])), optional(map)]
    } else if token.is_object() {
        vec![("TokenExpirationSeconds", shown(&token["expirationSeconds"]))]
    } else {
        Vec::new()
    }
}

fn toleration(toleration: &Value) -> String {
    let mut text = shown(&toleration["key"]);
    for (sign, key) in [("=", "value"), (":", "effect")] {
        if is_filled(&toleration[key]) {
            text = format!("{text}{sign}{}", shown(&toleration[key]));
        }
    }
    if toleration["operator"] == "Exists" && !is_filled(&toleration["value"]) {
        text.push_str(if text.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    match toleration["tolerationSeconds"].as_i64() {
        Some(seconds) => format!("{text} for {seconds}s"),
        None => text,
    }
}

fn probe(probe: &Value) -> String {
    let seconds = |key: &str| probe[key].as_i64().unwrap_or_default();
    let rest = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        seconds("initialDelaySeconds"),
        seconds("timeoutSeconds"),
        seconds("periodSeconds"),
        seconds("successThreshold"),
        seconds("failureThreshold")
    );
    let (exec, http, tcp, grpc) = (&probe["exec"], &probe["httpGet"], &probe["tcpSocket"], &probe["grpc"]);
    if exec.is_object() {
        let command: Vec<String> = list(&exec["command"]).iter().map(shown).collect();
        format!("exec [{}] {rest}", command.join(" "))
    } else if http.is_object() {
        let (host, port, path) = (shown(&http["host"]), shown(&http["port"]), shown(&http["path"]));
        format!("http-get {}://{host}:{port}{path} {rest}", shown(&http["scheme"]).to_lowercase())
    } else if tcp.is_object() {
        format!("tcp-socket {}:{} {rest}", shown(&tcp["host"]), shown(&tcp["port"]))
    } else if grpc.is_object() {
        format!("grpc <pod>:{} {} {rest}", shown(&grpc["port"]), shown(&grpc["service"]))
    } else {
        format!("unknown {rest}")
    }
}

fn is_optional(reference: &Value) -> bool {
    reference["optional"] == true
}

/// Whether Go would call it set.
fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The fields of a map by key.
fn pairs(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let mut pairs: Vec<(&str, &Value)> =
        value.as_object().into_iter().flat_map(Map::iter).map(|(key, value)| (key.as_str(), value)).collect();
    pairs.sort_unstable_by_key(|(key, _)| *key);
    pairs.into_iter()
}

/// A scalar without quotes; nothing for null.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Go cuts bytes; a character is never cut here.
fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Tabs are shown as `→`.
    #[test]
    fn a_rich_template() {
        let probe = json!({"httpGet": {"path": "/live", "port": "http", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
            "successThreshold": 1, "failureThreshold": 3});
        let container = json!({
            "name": "web", "image": "web:1", "command": ["sh", "-c"], "args": ["echo\nsleep 1"],
            "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 53, "hostPort": 53, "protocol": "UDP"}],
            "resources": {"limits": {"memory": "64Mi", "cpu": "1"}, "requests": {"cpu": "100m"}},
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "livenessProbe": probe,
            "readinessProbe": {"exec": {"command": ["cat", "/ready"]}, "initialDelaySeconds": 2},
            "startupProbe": {"tcpSocket": {"port": 5432}},
            "envFrom": [{"configMapRef": {"name": "all"}}, {"prefix": "DB_", "secretRef": {"name": "db", "optional": true}}],
            "env": [
                {"name": "PLAIN", "value": "one\ntwo"}, {"name": "EMPTY"},
                {"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "PASS", "valueFrom": {"secretKeyRef": {"key": "pass", "name": "db"}}},
                {"name": "MODE", "valueFrom": {"configMapKeyRef": {"key": "mode", "name": "all", "optional": true}}},
            ],
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "etc", "mountPath": "/etc/x", "subPath": "x", "readOnly": true}],
        });
        let template_of = json!({
            "metadata": {"labels": {"b": "2", "a": "1"}, "annotations": {
                "short": "text", "long": format!("{}\nsecond line\n", "x".repeat(150)), LAST_APPLIED: "{}"}},
            "spec": {
                "serviceAccountName": "web", "priorityClassName": "high", "nodeSelector": {"disk": "ssd"},
                "initContainers": [{"name": "migrate", "image": "web:1", "livenessProbe": {"grpc": {"port": 9, "service": "s"}}}],
                "containers": [container],
                "volumes": [
                    {"name": "tmp", "emptyDir": {}}, {"name": "etc", "configMap": {"name": "all", "defaultMode": 420}},
                    {"name": "db", "secret": {"secretName": "db", "optional": true}}, {"name": "host", "hostPath": {"path": "/x"}},
                    {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "odd", "fc": {"lun": 1}},
                    {"name": "all", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                        {"configMap": {"name": "all"}}, {"secret": {"name": "db"}}, {"downwardAPI": {}}]}},
                ],
                "tolerations": [
                    {"key": "z", "operator": "Equal", "value": "v", "effect": "NoSchedule"},
                    {"key": "gone", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}, {"operator": "Exists"},
                ],
            },
        });
        insta::assert_snapshot!(template(&template_of).replace('\t', "→"));
    }

    #[test]
    fn nothing() {
        let expected = "Pod Template:\n  Labels:\t<none>\n  Containers: <none>\n  Volumes:\t<none>\n  \
            Node-Selectors:\t<none>\n  Tolerations:\t<none>\n";
        assert_eq!(template(&Value::Null), expected);
    }
}
