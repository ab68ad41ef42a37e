"""Keys, and what is sealed under them: templates, records, grants, signatures, rotations."""
