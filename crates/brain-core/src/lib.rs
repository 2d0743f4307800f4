//! The domain, the ports (memory, language model, tool) and the turn of codexd; no I/O, no runtime.
