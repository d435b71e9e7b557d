//! What is wrong with a certificate, and what to do about it: the client libraries say the first somewhere among the causes
//! of an error, and do not know the settings.

use std::iter::successors;

/// What rustls says of a certificate that it does not accept begins so.
const REFUSED: &str = "invalid peer certificate: ";

/// An error with its causes; those that repeat what was said already are left out.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    successors(Some(error), |cause| cause.source()).map(ToString::to_string).fold(
        String::new(),
        |said, cause| match said.as_str() {
            "" => cause,
            _ if said.contains(&cause) => said,
            _ => format!("{said}: {cause}"),
        },
    )
}

/// What to do about a certificate that was refused; empty for any other error. `roots` is the setting that names the
/// authorities to trust.
pub(crate) fn hint(error: &(dyn std::error::Error + 'static), roots: &str) -> String {
    let said = causes(error);
    let Some((_, problem)) = said.split_once(REFUSED) else { return String::new() };
    if problem.contains("expired") {
        ". The server needs a new certificate".to_owned()
    } else if problem.contains("not valid for name") {
        ". The address has to be a name that the certificate has".to_owned()
    } else {
        format!(". The authority that signed it has to be in {roots}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_are_said_once() {
        let inner = Layer("invalid peer certificate: UnknownIssuer", None);
        let outer = Layer("connect: invalid peer certificate: UnknownIssuer", Some(Box::new(inner)));
        assert_eq!(
            causes(&Layer("send", Some(Box::new(outer)))),
            "send: connect: invalid peer certificate: UnknownIssuer"
        );
    }

    #[test]
    fn a_refused_certificate_has_a_remedy_and_nothing_else_has() {
        for (problem, remedy) in [
            ("invalid peer certificate: UnknownIssuer", ". The authority that signed it has to be in CA"),
            (
                "invalid peer certificate: certificate expired: verified at 1",
                ". The server needs a new certificate",
            ),
            (
                "invalid peer certificate: certificate not valid for name \"db\"",
                ". The address has to be a name that the certificate has",
            ),
            ("connection refused", ""),
        ] {
            assert_eq!(hint(&Layer(problem, None), "CA"), remedy, "{problem}");
        }
    }
}
