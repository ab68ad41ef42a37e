"""Alembic's entry point, shared by every package's history (see `database.migrate`)."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    version_table="schema_version",
    version_table_schema=attributes["schema"],
    target_metadata=None,
)
with context.begin_transaction():
    context.run_migrations()
