"""Records and vectors brought under new keys, while the cloud serves."""
