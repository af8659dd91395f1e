"""The facts of a run, and what is shown of them."""
