"""Candidate indexes over the master gallery, and the desk that searches looks in them."""
