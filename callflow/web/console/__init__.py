"""The operators' listener: a module for the routes of each thing. Begin with `app.py`.

`policy.py` says who is asking, `roles.py` which role each route needs, and `masking.py` what a viewer sees of numbers.
"""
