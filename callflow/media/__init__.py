"""The audio of a call: the relay (hot path), playout, media sockets, codecs, clips, recording."""
