"""Versioned prompt templates, their data, and rendering."""
