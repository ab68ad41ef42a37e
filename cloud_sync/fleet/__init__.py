"""How station nodes are, and the proof that a face is gone from all of them."""
