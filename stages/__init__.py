"""One module a command; wires the packages below it. Imported by run_pipeline.py alone."""
