//! The HTTP API that validates commands and writes versions
