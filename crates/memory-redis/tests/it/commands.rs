//! Every command and option that is sent, against the command table of Redis 6.2.
