"""Who speaks: turns, barge-in, dead air, tools, and the sessions of the model. Begin with `turn_taking.py` and
`barge_in.py`."""
