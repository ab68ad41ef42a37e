"""`python -m cloud_sync bench`: what this machine does, against what it should."""
