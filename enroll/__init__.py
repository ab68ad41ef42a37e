"""Riders, their consents, templates and ride codes, and the rider app."""
