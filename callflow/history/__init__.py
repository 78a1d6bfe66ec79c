"""The database: the writer of the journal, the tables that people read, search, deletion, and the events sent out.

Begin with `journal_writer.py` and `projection.py`.
"""
