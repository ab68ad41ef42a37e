"""The gallery stream: a view by revision, what both ends say, and their state machines."""
