"""The agent of a call: whose turn it is, what was said and heard, tool calls, and the model's sessions."""
