"""OpenAI's full-duplex models: the engine that hears and speaks at the same time."""
