"""Servers of other projects, measured by the bench beside ours."""
