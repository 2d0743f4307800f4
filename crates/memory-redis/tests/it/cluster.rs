//! Redis Cluster, three nodes of it.
