"""All live calls: admission, which call a webhook or socket is about, outbound calls, drain and recovery."""
