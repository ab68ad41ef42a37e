"""Tests: unit, contract (one suite a port), end to end, and the story."""
