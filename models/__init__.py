"""Model cards, the manifest and the fetcher; no model classes."""
