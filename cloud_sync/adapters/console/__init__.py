"""What the console and Prometheus are told."""
