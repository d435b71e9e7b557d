//! The stable codes: what clients may branch on, and what they will find documented.

use axum::http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $status:ident, $title:literal;)+) => {
        /// What is wrong, as clients may rely on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Code {
            /// Every code, by status.
            pub const ALL: &[Code] = &[$(Code::$name),+];

            /// The code itself, such as `VersionConflict`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => stringify!($name)),+ }
            }

            /// The status it comes with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status),+ }
            }

            /// It in a few words, the same for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title),+ }
            }

            /// When it happens and what to do.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => concat!($($meaning),+).trim_ascii()),+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON, names a field twice, or has a number beyond 64 bits; `line` and `column` say where.
    JsonInvalid = BAD_REQUEST, "The body is not valid JSON";
    /// The JSON is not the request's envelope, such as `{"attributes": {…}, "version": 3}`; `pointer` says where.
    BodyInvalid = BAD_REQUEST, "The body does not have the expected shape";
    /// The body broke off, or did not come on for 10 seconds.
    BodyIncomplete = BAD_REQUEST, "The body could not be read to its end";
    /// Tenant, type or id are not well-formed, or the path is not UTF-8 once decoded.
    PathInvalid = BAD_REQUEST, "The path names nothing that can exist";
    /// A query parameter, a column or an operator is unknown, or a value is not valid; `parameter` names it.
    QueryInvalid = BAD_REQUEST, "The query is not valid";
    /// `startFromSk` or `cursor` is none of this query: send back, unchanged and to the same query, what a page returned.
    CursorInvalid = BAD_REQUEST, "The cursor is not valid";
    /// A part of the search is unknown, not allowed, or has a value that is not valid; `pointer` says where.
    SearchInvalid = BAD_REQUEST, "The search is not valid";
    /// `token` is none that a write of this tenant returned, or of a type that the view does not show.
    TokenInvalid = BAD_REQUEST, "The token is not valid";
    /// A request header cannot be read, such as a weak ETag in `If-Match`; `header` names it.
    HeaderInvalid = BAD_REQUEST, "A header is not valid";
    /// The expected version stands in `If-Match` and in the body: give one of them.
    VersionTwice = BAD_REQUEST, "The expected version is given twice";
    /// The type has no sequence and the request gives no `id`.
    IdRequired = BAD_REQUEST, "An id is needed";
    /// Nothing answers at this path.
    RouteUnknown = NOT_FOUND, "There is no such route";
    /// The model has no such type.
    TypeUnknown = NOT_FOUND, "There is no such type";
    /// No live view of this name is in the store that the route reads.
    ViewUnknown = NOT_FOUND, "There is no such view";
    /// Nothing of this tenant was written with that correlation id, or so lately that it is not to be found yet.
    WriteUnknown = NOT_FOUND, "There is no such write";
    /// The item does not exist, or was deleted.
    ItemNotFound = NOT_FOUND, "There is no such item";
    /// The item never had the version asked for, or did not exist at the moment asked for.
    VersionNotFound = NOT_FOUND, "There is no such version";
    /// The path is right, the method is not; `Allow` lists those that are.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "The method does not apply here";
    /// A create found the item; `currentVersion` is the version it is at.
    ItemExists = CONFLICT, "The item exists already";
    /// The item is not at the `version` of the body; read `currentVersion`, decide again.
    VersionConflict = CONFLICT, "The item is at another version";
    /// Others changed the item each time the command was decided: try again.
    WriteContended = CONFLICT, "Too many writers at once";
    /// The ids that the sequence gave are taken by items with ids of clients' choosing: try again for the next ones.
    SequenceTaken = CONFLICT, "The sequence's ids are taken";
    /// The sequence cannot make another id: give one, or change the model's format.
    SequenceExhausted = CONFLICT, "The sequence is exhausted";
    /// A worker has set the version aside: the view holds it once an operator has had it redriven. `missing` says where.
    DeadLettered = CONFLICT, "The version was set aside";
    /// Events since `Last-Event-ID` are no longer in Kafka: read what stands, and begin without an id.
    EventsGone = GONE, "The events are gone";
    /// `If-Match` names another version than the item's; read `currentVersion`, decide again.
    PreconditionFailed = PRECONDITION_FAILED, "The item is at another version";
    /// The body has more than `limit` bytes.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "The body is too large";
    /// The event would have more than `limit` bytes: it holds the item as it stands after the change, and the change.
    EventTooLarge = PAYLOAD_TOO_LARGE, "The item is too large";
    /// The `Content-Type` is missing or not one that this route reads.
    MediaTypeUnsupported = UNSUPPORTED_MEDIA_TYPE, "The media type is not supported";
    /// The attributes break the type's schema; `errors` lists every violation with its JSON pointer.
    AttributesInvalid = UNPROCESSABLE_ENTITY, "The attributes are not valid";
    /// The fault is not the request's; the log has the reason under the correlation id.
    Internal = INTERNAL_SERVER_ERROR, "Internal error";
    /// DynamoDB is unreachable or throttles; try again after `Retry-After`. Whether a write was stored is then not
    /// known: read the item before repeating it.
    StoreUnavailable = SERVICE_UNAVAILABLE, "The store is not available";
    /// Postgres, OpenSearch or Kafka is unreachable, overloaded, or has no such view ready; try again after `Retry-After`.
    ReadModelUnavailable = SERVICE_UNAVAILABLE, "The read model is not available";
    /// The view did not hold the version that `token` names within the wait that `Prefer` asks for; `missing` says where.
    NotYetVisible = GATEWAY_TIMEOUT, "The version is not visible yet";
    /// The query took longer than `api.query_timeout`: narrow it, by columns that have an index.
    QueryTooSlow = GATEWAY_TIMEOUT, "The query took too long";
}

impl Code {
    /// Names the kind of problem and answers with its description.
    #[must_use]
    pub fn uri(self) -> String {
        format!("/problems/{}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn the_readme_documents_every_code_as_it_is() {
        let readme = include_str!("../../README.md");
        for code in Code::ALL {
            let row = format!("| `{}` | {} | {} |", code.as_str(), code.status().as_u16(), code.meaning());
            assert!(readme.contains(&row), "README.md lacks the row\n{row}");
        }
    }
}
