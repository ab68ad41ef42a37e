"""Files: a node's outbox, replica and keys, the operator's keys and ledger."""
