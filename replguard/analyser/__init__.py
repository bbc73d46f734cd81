"""The half without privileges: keeps the log, matches rules, raises alerts and sends them."""
