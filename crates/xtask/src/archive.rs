//! Archives as krew unpacks them: gzipped tar with plain files only, and the same bytes from the same files.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use ring::digest::{SHA256, digest};
use tar::{Builder, Header};

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name; archives have no directories.
    pub name: String,
    /// Its permissions: krew keeps them.
    pub mode: u32,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl File {
    /// A file to read.
    pub fn document(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.to_owned(), mode: 0o644, bytes: bytes.into() }
    }

    /// A file to run.
    pub fn binary(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.to_owned(), mode: 0o755, bytes: bytes.into() }
    }
}

/// Packs files. Names, modes and contents alone decide the bytes: no times, no owners, no order.
///
/// # Errors
/// A name is too long for tar.
pub fn pack(files: &[File]) -> io::Result<Vec<u8>> {
    let mut sorted: Vec<&File> = files.iter().collect();
    sorted.sort_by_key(|file| &file.name);
    // Byte 9 tells where it was packed: 255 is "unknown", everywhere.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    let mut tar = Builder::new(gzip);
    for File { name, mode, bytes } in sorted {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes.as_slice())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

/// Unpacks an archive.
///
/// # Errors
/// It is no gzipped tar, or holds something else than plain files, which krew refuses.
pub fn unpack(bytes: &[u8]) -> io::Result<Vec<File>> {
    tar::Archive::new(GzDecoder::new(bytes))
        .entries()?
        .map(|entry| {
            let mut entry = entry?;
            let name = entry.path()?.to_string_lossy().into_owned();
            if !entry.header().entry_type().is_file() {
                return Err(io::Error::other(format!("{name} is no plain file")));
            }
            let mode = entry.header().mode()?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            Ok(File { name, mode, bytes })
        })
        .collect()
}

/// The SHA-256 of `bytes`, in lower case as krew demands.
pub fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<File> {
        vec![File::binary("kubectl-safe_drain", b"\x7fELF".repeat(50_000)), File::document("LICENSE", "text")]
    }

    #[test]
    fn the_same_files_give_the_same_bytes_in_whatever_order() {
        let mut reversed = files();
        reversed.reverse();
        let packed = pack(&files()).unwrap();
        assert_eq!(packed, pack(&reversed).unwrap());
        let mut other = files();
        other[1].mode = 0o600;
        assert_ne!(packed, pack(&other).unwrap());
    }

    #[test]
    fn no_time_and_no_place_is_in_the_bytes() {
        let packed = pack(&files()).unwrap();
        // Magic, deflate, no flags (no name), no time, best compression, unknown system.
        assert_eq!(packed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
        for entry in tar::Archive::new(GzDecoder::new(packed.as_slice())).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        }
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let mut expected = files();
        expected.reverse();
        assert_eq!(unpack(&pack(&files()).unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_link_is_refused() {
        let mut tar = Builder::new(GzBuilder::new().write(Vec::new(), Compression::fast()));
        let mut header = Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "LICENSE", "elsewhere").unwrap();
        let bytes = tar.into_inner().unwrap().finish().unwrap();
        assert_eq!(unpack(&bytes).unwrap_err().to_string(), "LICENSE is no plain file");
    }

    #[test]
    fn sums_are_sha_256_in_lower_case() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
