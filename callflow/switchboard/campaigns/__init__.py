"""Lists of calls that are dialled one after another: their rows, their pace, and how they end."""
