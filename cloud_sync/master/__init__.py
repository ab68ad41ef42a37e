"""The master gallery: what stations may hold, how it is searched, and how its model changes."""
