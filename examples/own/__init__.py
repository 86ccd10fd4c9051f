"""Code of a user's own, outside of the package: one file for each row of docs/extend.md."""
