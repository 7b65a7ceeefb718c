"""Vocabulary of the project. Imports the standard library and pydantic, and nothing of ours."""
