//! What Redis answers when it does not do what it was asked, as errors of the port.
