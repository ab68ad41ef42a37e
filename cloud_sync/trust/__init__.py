"""Which device may do what: bootstrap tokens, certificates, and what is remembered of them."""
