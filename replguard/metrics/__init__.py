"""What Prometheus reads: every metric in one table, and the page that shows them."""
