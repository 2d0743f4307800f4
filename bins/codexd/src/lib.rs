//! codexd as a library.
