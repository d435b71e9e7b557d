//! The aqueduct command: local stack, set-up, model check, verify
