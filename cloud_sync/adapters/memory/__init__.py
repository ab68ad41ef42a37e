"""The ports in memory: for tests and benches, and as the plain reading of their promises."""
