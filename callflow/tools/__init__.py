"""The operator's functions for the model: reading them, running them apart from the audio, bounding their results.

Begin with `runner.py`.
"""
