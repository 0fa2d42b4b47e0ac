//! The released plugins, as krew and its users take them: everything is in the test `krew`.
