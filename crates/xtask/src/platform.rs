//! The platforms that are released.

use anyhow::{Context, Result};

/// One platform, in the words of Go, which krew selects by, and of Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// As in `GOOS`.
    pub os: &'static str,
    /// As in `GOARCH`.
    pub arch: &'static str,
    /// What a release is built for. On Linux musl, so that it runs whatever the C library there is.
    pub target: &'static str,
}

/// All platforms, in the order of the manifests.
pub static PLATFORMS: [Platform; 5] = [
    Platform { os: "linux", arch: "amd64", target: "x86_64-unknown-linux-musl" },
    Platform { os: "linux", arch: "arm64", target: "aarch64-unknown-linux-musl" },
    Platform { os: "darwin", arch: "amd64", target: "x86_64-apple-darwin" },
    Platform { os: "darwin", arch: "arm64", target: "aarch64-apple-darwin" },
    Platform { os: "windows", arch: "amd64", target: "x86_64-pc-windows-msvc" },
];

impl Platform {
    /// The platform that binaries of a target triple run on.
    ///
    /// # Errors
    /// It is none of [`PLATFORMS`].
    pub fn of(triple: &str) -> Result<&'static Self> {
        let (arch, rest) = triple.split_once('-').unwrap_or((triple, ""));
        PLATFORMS
            .iter()
            .find(|platform| {
                let os = if platform.os == "darwin" { "apple-darwin" } else { platform.os };
                platform.target.split('-').next() == Some(arch) && rest.contains(os)
            })
            .with_context(|| format!("{triple} is none of the platforms that are released"))
    }

    /// What the names of its binaries end with.
    pub fn binary_suffix(&self) -> &'static str {
        if self.os == "windows" { ".exe" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_of_its_platform_whatever_its_c_library() {
        for platform in &PLATFORMS {
            assert_eq!(Platform::of(platform.target).unwrap(), platform);
        }
        assert_eq!(Platform::of("x86_64-unknown-linux-gnu").unwrap(), &PLATFORMS[0]);
        let error = Platform::of("riscv64gc-unknown-linux-gnu").unwrap_err().to_string();
        assert_eq!(error, "riscv64gc-unknown-linux-gnu is none of the platforms that are released");
    }
}
