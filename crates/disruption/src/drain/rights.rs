//! The rights that a drain needs, so that a missing one is named before the first write.

use std::fmt;

/// One verb on one resource, at the cluster scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Right {
    /// The verb, such as `create`.
    pub verb: &'static str,
    /// The API group, empty for core.
    pub group: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The subresource, empty for none.
    pub subresource: &'static str,
}

/// Where a right is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scope<'a> {
    /// The namespace; none is the cluster.
    pub namespace: Option<&'a str>,
    /// The object's name; none is any.
    pub name: Option<&'a str>,
}

/// How nodes are named: a selector needs `list` where names need `get`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// By name.
    Names,
    /// By a label selector.
    Selector,
}

/// What a run of this drain cannot do without.
pub fn required(naming: Naming, disable_eviction: bool) -> Vec<Right> {
    let core = |verb, resource, subresource| Right { verb, group: "", resource, subresource };
    vec![
        match naming {
            Naming::Names => core("get", "nodes", ""),
            Naming::Selector => core("list", "nodes", ""),
        },
        core("patch", "nodes", ""),
        core("list", "pods", ""),
        core("watch", "pods", ""),
        if disable_eviction { core("delete", "pods", "") } else { core("create", "pods", "eviction") },
    ]
}

/// The resource with its subresource, as the server names it: `pods/eviction`.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, subresource } = self;
        write!(f, "{verb} {resource}")?;
        if !subresource.is_empty() {
            write!(f, "/{subresource}")?;
        }
        if !group.is_empty() {
            write!(f, ".{group}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_follow_the_flags() {
        #[track_caller]
        fn check(naming: Naming, disable_eviction: bool, expected: &str) {
            let rights: Vec<String> = required(naming, disable_eviction).iter().map(ToString::to_string).collect();
            assert_eq!(rights.join(", "), expected);
        }
        check(Naming::Names, false, "get nodes, patch nodes, list pods, watch pods, create pods/eviction");
        check(Naming::Selector, false, "list nodes, patch nodes, list pods, watch pods, create pods/eviction");
        check(Naming::Names, true, "get nodes, patch nodes, list pods, watch pods, delete pods");
    }
}
