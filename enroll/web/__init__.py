"""The rider app and its API over HTTP."""
