//! What happened, as past facts: the stream that every reporter reads.

use crate::model::NodeName;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A node was cordoned, or would have been in a dry run.
    NodeCordoned {
        /// The node.
        node: NodeName,
        /// Whether it had been cordoned before, so that nothing was sent.
        already: bool,
    },
    /// A node was uncordoned, or would have been in a dry run.
    NodeUncordoned {
        /// The node.
        node: NodeName,
        /// Whether it had been schedulable before, so that nothing was sent.
        already: bool,
    },
}
