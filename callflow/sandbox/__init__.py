"""Emulated Telnyx, Twilio and OpenAI servers, and a telephone for tests, demo and benchmarks."""
