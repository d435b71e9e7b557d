//! The consumer engine: poll loop, lanes, ledger, retries, dead letters, drain
