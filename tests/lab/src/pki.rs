//! Keys and certificates: one authority per control plane; users are signed by it at any time.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// A certificate and its private key, as PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Writes the authority, the apiserver's certificate and the key pair for service account tokens into `dir`.
pub(crate) fn create(dir: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    fs::write(dir.join("ca.key"), key.serialize_pem())?;
    fs::write(dir.join("ca.crt"), authority()?.self_signed(&key)?.pem())?;

    let names = ["127.0.0.1", "10.0.0.1", "localhost", "kubernetes.default.svc"].map(String::from);
    let mut server = CertificateParams::new(names.to_vec())?;
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signed = sign(dir, server)?;
    fs::write(dir.join("apiserver.crt"), signed.certificate)?;
    fs::write(dir.join("apiserver.key"), signed.key)?;

    let tokens = KeyPair::generate()?;
    fs::write(dir.join("sa.key"), tokens.serialize_pem())?;
    fs::write(dir.join("sa.pub"), tokens.public_key_pem())?;
    Ok(())
}

/// A client certificate for `user`, perhaps as a member of `group`.
pub(crate) fn sign_user(dir: &Path, user: &str, group: Option<&str>) -> Result<Signed> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(dir, params)
}

fn sign(dir: &Path, mut params: CertificateParams) -> Result<Signed> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let authority_key = fs::read_to_string(dir.join("ca.key")).context("reading the key of the lab's authority")?;
    let issuer = Issuer::new(authority()?, KeyPair::from_pem(&authority_key)?);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Signed { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The authority is always described the same way, so that its key alone is enough to sign with.
fn authority() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "lab-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}
