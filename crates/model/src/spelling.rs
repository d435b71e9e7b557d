//! The name that was probably meant.

/// The known name nearest to `name`, if one is near: a third of its letters may differ, case aside.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let written = name.to_lowercase();
    let allowed = written.chars().count().max(3) / 3;
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&written, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *candidate != name)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_corrected_and_a_stranger_is_not() {
        let known = ["columns", "mappings", "document"];
        assert_eq!(nearest("colums", known).as_deref(), Some("columns"));
        assert_eq!(nearest("Document", known).as_deref(), Some("document"));
        assert_eq!(nearest("mapings", known).as_deref(), Some("mappings"));
        assert_eq!(nearest("reactions", known), None);
    }
}
