//! How we know that cspace keeps its promises: the tests are in `tests/`, and `docs/testing.md` says where each kind is.
