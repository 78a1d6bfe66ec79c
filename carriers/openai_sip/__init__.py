"""OpenAI as a carrier: calls that come over SIP, whose audio goes straight to the model."""
