"""The prefilter in PostgreSQL: looks and glances at stations, and what they change."""
