//! Errors as a user sees them: kubectl's words, then what helps on.

use std::fmt::{self, Write as _};

use cluster::error::{ConnectError, Error};
use disruption::outcome::Exit;
use kube::core::Status;

use crate::styles::Styles;
use crate::text;

/// kube's reason for an error body that is no `Status`.
const NOT_A_STATUS: &str = "Failed to parse error data";

/// An error that ends the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// Which form it is printed in.
    pub kind: Kind,
    /// What went wrong, without a prefix.
    pub message: String,
    /// What the user can do about it, a line each.
    pub hints: Vec<String>,
    /// What the process exits with.
    pub exit: Exit,
}

/// The form of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `error: MESSAGE`.
    Plain,
    /// The message is a sentence of kubectl's that takes no prefix, as in `Error from server (NotFound): …`.
    Cluster,
    /// `error: MESSAGE`, then where the flags are explained.
    Usage {
        /// The command, as in `kubectl safe-drain plan`; [`cli::run`](crate::cli::run) fills it in.
        command: Option<String>,
    },
}

impl CliError {
    /// An error that exits with 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: Kind::Plain, message: message.into(), hints: Vec::new(), exit: Exit::Error }
    }

    /// Wrong usage of the command that runs.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage { command: None }, ..Self::new(message) }
    }

    /// Names the command whose `--help` explains it, if this is wrong usage.
    #[must_use]
    pub(crate) fn of_command(mut self, invocation: &str) -> Self {
        if let Kind::Usage { command } = &mut self.kind {
            *command = Some(invocation.to_owned());
        }
        self
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Exits with another code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// A sentence of kubectl's that takes no prefix.
    pub fn cluster(message: impl Into<String>) -> Self {
        Self { kind: Kind::Cluster, ..Self::new(message) }
    }

    /// All its lines, each with its line break.
    pub fn render(&self, styles: &Styles) -> String {
        let message = text::multi_line(self.message.trim_end());
        let mut lines = match &self.kind {
            Kind::Cluster => format!("{message}\n"),
            Kind::Plain | Kind::Usage { .. } => {
                let message = message.strip_prefix("error: ").unwrap_or(&message);
                format!("{} {message}\n", styles.error.style("error:"))
            }
        };
        if let Kind::Usage { command: Some(command) } = &self.kind {
            let _ = writeln!(lines, "See '{command} --help' for usage.");
        }
        for hint in &self.hints {
            let _ = writeln!(lines, "{} {}", styles.hint.style("hint:"), text::one_line(hint));
        }
        lines
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(&Styles::default()).trim_end())
    }
}

impl std::error::Error for CliError {}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => Self::from(*status),
            Error::Refused { server } => {
                let refused = Self::cluster(format!(
                    "The connection to the server {server} was refused - did you specify the right host or port?"
                ));
                if server == "localhost:8080" {
                    return refused.hint("no kubeconfig names a server: set KUBECONFIG, or --kubeconfig, or --server");
                }
                refused
            }
            Error::Timeout { what, after } => {
                Self::cluster(format!("Unable to connect to the server: {what}: no answer within {after:?}"))
                    .hint("--request-timeout sets how long a single request may take")
            }
            Error::Transport(reason) => {
                let is_certificate = reason.contains("certificate");
                let error = Self::cluster(format!("Unable to connect to the server: {reason}"));
                if is_certificate {
                    return error.hint(
                        "the server's certificate must be signed by the kubeconfig's certificate-authority and name \
                         the host: see --certificate-authority and --tls-server-name",
                    );
                }
                error
            }
            Error::Credentials(reason) => Self::cluster(format!("Unable to connect to the server: {reason}")),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Credentials(reason) => {
                let is_missing = reason.ends_with("not found");
                let error = Self::cluster(format!("Unable to connect to the server: {reason}"));
                if is_missing {
                    return error.hint("the kubeconfig's user needs a credential plugin that is not installed");
                }
                error
            }
            ConnectError::UnknownContext(_) => {
                Self::new(error.to_string()).hint("kubectl config get-contexts lists the contexts there are")
            }
            other => Self::new(other.to_string()),
        }
    }
}

impl From<Status> for CliError {
    /// An answer of the server, as kubectl's `checkErr` words it.
    fn from(status: Status) -> Self {
        if status.is_invalid() {
            return Self::cluster(invalid(&status));
        }
        let Status { reason, message, code, details, .. } = status;
        match reason.as_str() {
            "NotFound" => {
                let error = Self::cluster(format!("Error from server (NotFound): {message}"));
                match details.filter(|details| !details.kind.is_empty() && !details.name.is_empty()) {
                    Some(details) => error.hint(format!("kubectl get {} lists what is there", details.kind)),
                    None => error,
                }
            }
            "Unauthorized" => Self::new(format!("You must be logged in to the server ({message})")),
            "Forbidden" => Self::cluster(format!("Error from server (Forbidden): {message}")).exit(Exit::Forbidden),
            "" => Self::cluster(format!("Error from server: {message}")),
            NOT_A_STATUS => {
                let first = message.lines().next().filter(|line| !line.trim().is_empty());
                let first = first.unwrap_or(if code == 404 {
                    "the server could not find the requested resource"
                } else {
                    "no message"
                });
                let error = Self::cluster(format!("Error from server (HTTP {code}): {first}"));
                match code {
                    401 => Self::new(format!("You must be logged in to the server ({first})")),
                    403 => error.exit(Exit::Forbidden),
                    _ => error,
                }
            }
            _ => Self::cluster(format!("Error from server ({reason}): {message}")),
        }
    }
}

/// `The Deployment "x" is invalid: spec.replicas: …`, one line per cause if there are several.
fn invalid(status: &Status) -> String {
    let Some(details) = &status.details else {
        return format!("The request is invalid: {}", status.message);
    };
    let named = !details.kind.is_empty() || !details.name.is_empty();
    let subject = if named {
        format!("The {} {:?} is invalid", details.kind, details.name)
    } else {
        "The request is invalid".to_owned()
    };
    let mut causes: Vec<String> = Vec::new();
    for cause in &details.causes {
        let text =
            if cause.field.is_empty() { cause.message.clone() } else { format!("{}: {}", cause.field, cause.message) };
        if !causes.contains(&text) {
            causes.push(text);
        }
    }
    match causes.as_slice() {
        [] if named || status.message.is_empty() => subject,
        [] => format!("{subject}: {}", status.message),
        [cause] => format!("{subject}: {cause}"),
        causes => format!("{subject}: \n* {}", causes.join("\n* ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn status(status: serde_json::Value) -> CliError {
        let status: Status = serde_json::from_value(status).unwrap();
        CliError::from(Error::Api(Box::new(status)))
    }

    fn invalid_deployment(causes: &serde_json::Value) -> CliError {
        let details = json!({"kind": "Deployment", "name": "web", "causes": causes});
        status(json!({"reason": "Invalid", "code": 422, "message": "long", "details": details}))
    }

    #[test]
    fn errors_are_in_kubectls_words() {
        let timeout = Error::Timeout { what: "list pods".to_owned(), after: Duration::from_secs(30) };
        let errors = [
            status(json!({"reason": "NotFound", "code": 404, "message": "nodes \"x\" not found"})),
            status(
                json!({"reason": "Forbidden", "code": 403, "message": "pods is forbidden: User \"viewer\" cannot list"}),
            ),
            status(json!({"reason": "Unauthorized", "code": 401, "message": "Unauthorized"})),
            status(json!({"code": 500, "message": "boom"})),
            status(json!({"reason": NOT_A_STATUS, "code": 502, "message": "<html>\nBad Gateway"})),
            invalid_deployment(&json!([{"field": "spec.replicas", "message": "must be positive"}])),
            invalid_deployment(
                &json!([{"field": "a", "message": "x"}, {"field": "a", "message": "x"}, {"message": "y"}]),
            ),
            invalid_deployment(&json!([])),
            status(json!({"reason": "Invalid", "code": 422, "message": "what it is"})),
            Error::Refused { server: "10.0.0.1:6443".to_owned() }.into(),
            Error::Refused { server: "localhost:8080".to_owned() }.into(),
            timeout.into(),
            Error::Transport("invalid peer certificate: UnknownIssuer".to_owned()).into(),
            Error::Transport("connection reset by peer".to_owned()).into(),
            Error::Credentials("getting credentials: exec: executable x failed with exit code 1".to_owned()).into(),
            Error::Answer { what: "get node".to_owned(), reason: "EOF".to_owned() }.into(),
            ConnectError::UnknownContext("x".to_owned()).into(),
            ConnectError::Credentials("getting credentials: exec: executable x not found".to_owned()).into(),
            ConnectError::InsecureWithAuthority.into(),
            CliError::new("error: not doubled"),
            CliError::new("the plan is refused").hint("use --force").hint("or not").exit(Exit::Refused),
            CliError::usage("unknown flag: --x").of_command("kubectl safe-drain"),
            CliError::new("from \u{1b}[31mthe API\nsecond line").hint("one\nline"),
        ];
        let shown: Vec<_> = errors.iter().map(|error| format!("[{}] {error}", error.exit)).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        [1] Error from server (NotFound): nodes "x" not found
        [11] Error from server (Forbidden): pods is forbidden: User "viewer" cannot list
        [1] error: You must be logged in to the server (Unauthorized)
        [1] Error from server: boom
        [1] Error from server (HTTP 502): <html>
        [1] The Deployment "web" is invalid: spec.replicas: must be positive
        [1] The Deployment "web" is invalid: 
        * a: x
        * y
        [1] The Deployment "web" is invalid
        [1] The request is invalid: what it is
        [1] The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?
        [1] The connection to the server localhost:8080 was refused - did you specify the right host or port?
        hint: no kubeconfig names a server: set KUBECONFIG, or --kubeconfig, or --server
        [1] Unable to connect to the server: list pods: no answer within 30s
        hint: --request-timeout sets how long a single request may take
        [1] Unable to connect to the server: invalid peer certificate: UnknownIssuer
        hint: the server's certificate must be signed by the kubeconfig's certificate-authority and name the host: see --certificate-authority and --tls-server-name
        [1] Unable to connect to the server: connection reset by peer
        [1] Unable to connect to the server: getting credentials: exec: executable x failed with exit code 1
        [1] error: get node: unexpected answer: EOF
        [1] error: context "x" does not exist
        hint: kubectl config get-contexts lists the contexts there are
        [1] Unable to connect to the server: getting credentials: exec: executable x not found
        hint: the kubeconfig's user needs a credential plugin that is not installed
        [1] error: specifying a root certificates file with the insecure flag is not allowed
        [1] error: not doubled
        [3] error: the plan is refused
        hint: use --force
        hint: or not
        [1] error: unknown flag: --x
        See 'kubectl safe-drain --help' for usage.
        [1] error: from ^[[31mthe API
        second line
        hint: one\nline
        "#);
    }

    #[test]
    fn colour_marks_the_words_only() {
        let error = CliError::new("no").hint("yes").render(&Styles::colored());
        insta::assert_snapshot!(error.escape_debug(), @r"\u{1b}[31;1merror:\u{1b}[0m no\n\u{1b}[36mhint:\u{1b}[0m yes\n");
    }
}
