"""Deterministic checks of a draft: pure functions, versioned, without network or randomness."""
