"""The wire: what runs at both ends of it, and what they need beside it."""
