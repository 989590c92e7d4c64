"""How statements reach DuckDB: in this process, in memory, or through the owner of the file."""
