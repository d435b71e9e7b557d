//! The worker that keeps the DynamoDB read table
