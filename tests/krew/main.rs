//! What is released: the committed manifests and workflows keep their rules, and the real krew installs what the
//! manifests say.

mod committed;
mod install;
mod krew;
mod packed;
mod rules;
mod workflows;
