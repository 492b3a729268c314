"""Everything that touches SQL: schema, engine, and query files that take a session and give records."""
