"""One call's signalling: mailbox, machine, journal, commands, restore. Begin with `machine/table.py`, `call.py`.

`take_over.py`: a person speaks in place of the agent; `step_in.py`: what operators do without being heard (whisper).
"""
