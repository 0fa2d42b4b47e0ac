//! What the documents say, checked against the plugins and a real control plane: everything is in the test `docs`.
