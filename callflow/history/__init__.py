"""The database: the journal's writer, the tables that people read, search and deletion."""
