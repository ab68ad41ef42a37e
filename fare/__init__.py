"""Taps to trips, prices, charges and the ledger that accounts for every yuan."""
