"""`python -m cloud_sync simulate`: a city's day in figures and pictures."""
