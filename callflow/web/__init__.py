"""HTTP: `public/` for carriers, `console/` for operators, and what both listeners share."""
