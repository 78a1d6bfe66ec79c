"""The operator's functions as tools of the model: loading, running apart from the audio, bounding results."""
