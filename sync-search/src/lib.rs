//! The worker that keeps OpenSearch indexes
