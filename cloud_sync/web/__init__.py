"""The operator's console: the fleet, riders in views, proofs of erasure."""
