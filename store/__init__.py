"""The DuckDB store: schema, the one writer, journal, queries, export."""
