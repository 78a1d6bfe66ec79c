"""One folder for each carrier, with the same file names; `registry.py` makes them from the settings.

Begin with `telnyx/carrier.py`. Retries: `common/http_client.py`.
"""
