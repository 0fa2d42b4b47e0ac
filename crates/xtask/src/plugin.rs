//! The plugins, as krew's users meet them.

use crate::platform::Platform;

/// One plugin. Its texts keep krew's naming guide and the rules of its index.
#[derive(Debug, Clone, Copy)]
pub struct Plugin {
    /// What follows `kubectl`.
    pub name: &'static str,
    /// At most 50 characters: `kubectl krew search` shows it in a column.
    pub short_description: &'static str,
    /// At most 80 characters a line, and no usage.
    pub description: &'static str,
}

/// All plugins, in the order of `krew-manifest.yaml`.
pub static PLUGINS: [Plugin; 2] = [
    Plugin {
        name: "safe-drain",
        short_description: "Drain nodes without breaking what runs on them",
        description: "\
Empties nodes for maintenance. Says first which pods will move, in which order,
and what a disruption budget forbids and why; begins nothing that cannot end;
evicts as the budgets allow, workloads without a budget as gently as their own
rolling update would; and is done when what it moved runs elsewhere. A drain
that fails leaves no cordon behind.
Takes the flags of kubectl drain.
",
    },
    Plugin {
        name: "rollout-guard",
        short_description: "Diagnose stalled rollouts and undo bad versions",
        description: "\
Watches rollouts of Deployments, StatefulSets and DaemonSets. Says within
seconds why one does not proceed: images, crashes, probes, configuration,
volumes, scheduling, quotas. Where the new version is to blame it brings the
last good version back and verifies that it serves; where it is not, it says so
and changes nothing. Exit codes tell a pipeline what happened.
",
    },
];

impl Plugin {
    /// The package that builds it.
    pub fn package(&self) -> String {
        format!("kubectl-{}", self.name)
    }

    /// The binary that kubectl looks up for it.
    pub fn binary(&self, platform: &Platform) -> String {
        format!("{}{}", self.stem(), platform.binary_suffix())
    }

    /// The file name of its archive; `version` is that of a tag, such as `v1.2.3`.
    pub fn archive(&self, version: &str, platform: &Platform) -> String {
        let Platform { os, arch, .. } = platform;
        format!("{}-{version}-{os}-{arch}.tar.gz", self.stem())
    }

    /// A dash of the name is an underscore in the file's.
    fn stem(&self) -> String {
        format!("kubectl-{}", self.name.replace('-', "_"))
    }
}
