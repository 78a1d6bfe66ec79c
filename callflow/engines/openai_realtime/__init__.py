"""OpenAI's Realtime interface: the engine that speaks in turns."""
