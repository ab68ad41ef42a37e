"""The station node: lanes that see a face or a code, decide, record the tap and open."""
