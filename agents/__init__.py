"""Drafting and verification: LLM client, item graph, checks, batch, vLLM server control."""
