"""The audio: media sockets, the relay (the hot path), playout, codecs, clips, recording. Begin with `relay.py` and
`playout.py`, which knows what the caller has heard."""
