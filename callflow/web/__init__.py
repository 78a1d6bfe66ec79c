"""HTTP: `public/` for carriers, `console/` for operators, and what both listeners share. Begin with
`public/webhooks.py` and `console/app.py`."""
