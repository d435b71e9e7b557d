//! Certificates: of an authority to be trusted, of one that is not, and one whose time is over.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// What the servers answer to.
pub(super) const HOST: &str = "localhost";

/// A certificate with its key, as PEM.
pub(super) struct Certificate {
    pub(super) chain: String,
    pub(super) key: String,
}

impl Certificate {
    /// One file with both, as Kafka takes it.
    pub(super) fn write(&self, file: &Path) {
        fs::write(file, format!("{}{}", self.key, self.chain)).unwrap();
    }
}

pub(super) struct Certificates {
    /// The file of the authority that signed the two certificates.
    pub(super) ca: PathBuf,
    /// The file of another one.
    pub(super) other_ca: PathBuf,
    pub(super) valid: Certificate,
    pub(super) expired: Certificate,
}

impl Certificates {
    pub(super) fn new(folder: &Path) -> Certificates {
        let (ca, other_ca) = (folder.join("ca.pem"), folder.join("other-ca.pem"));
        let authority = authority("Authority");
        fs::write(&ca, authority.pem()).unwrap();
        fs::write(&other_ca, self::authority("Another Authority").pem()).unwrap();
        Certificates {
            ca,
            other_ca,
            valid: signed(&authority, |_| {}),
            expired: signed(&authority, |of| {
                (of.not_before, of.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
            }),
        }
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut of = CertificateParams::new([]).unwrap();
    of.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    of.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(of, KeyPair::generate().unwrap()).unwrap()
}

fn signed(
    authority: &CertifiedIssuer<'_, KeyPair>,
    adjust: impl FnOnce(&mut CertificateParams),
) -> Certificate {
    let key = KeyPair::generate().unwrap();
    let mut of = CertificateParams::new([HOST.to_owned()]).unwrap();
    of.distinguished_name.push(DnType::CommonName, HOST);
    adjust(&mut of);
    let certificate = of.signed_by(&key, authority).unwrap();
    Certificate { chain: certificate.pem(), key: key.serialize_pem() }
}
