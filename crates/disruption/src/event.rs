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
    /// A node could not be cordoned or uncordoned.
    NodeRefused {
        /// The node.
        node: NodeName,
        /// Why, in the server's words.
        message: String,
    },
    /// A node was uncordoned, or would have been in a dry run.
    NodeUncordoned {
        /// The node.
        node: NodeName,
        /// Whether it had been schedulable before, so that nothing was sent.
        already: bool,
    },
}
