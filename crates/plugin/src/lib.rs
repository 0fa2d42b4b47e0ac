//! What any kubectl plugin needs.
