"""The way of the taps: outbox, signature, upload, and how the cloud judges what comes."""
