//! Model files: types, schemas, sequences, views and their expressions
