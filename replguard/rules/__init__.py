"""The rules: Sigma files parsed, compiled, matched and correlated. No I/O after loading, and no clock."""
