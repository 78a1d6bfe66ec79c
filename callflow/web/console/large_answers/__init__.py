"""Answers about a long conversation, or many: made in a process of their own, whose interpreter no audio waits for."""
