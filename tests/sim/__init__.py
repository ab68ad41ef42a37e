"""A city in virtual time: many edges and a cloud under every fault, from one seed."""
