"""The command line: one module per verb; heavy imports happen inside the commands."""
