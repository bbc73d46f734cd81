"""The drill: a harmless live replication on dummy weights, by real processes that know nothing of the daemon."""
