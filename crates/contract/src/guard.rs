//! The condition on versions under which an entry of a read model is written.

/// Of which versions a write may take the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// Of older ones: what events are written by, whatever their order and however often they come.
    #[default]
    Older,
    /// Of older ones and of the same: what a repair is written by, so that an entry of the right version and with another value is
    /// mended. It never takes an entry back either.
    OlderOrSame,
}
