"""The operators' listener: a module for the routes of each thing. `policy.py` and `roles.py` say who may ask."""
