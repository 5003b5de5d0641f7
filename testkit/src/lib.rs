//! What the tests of several crates share. The rules of the whole tree that are tests stand in `tests/house/`.
