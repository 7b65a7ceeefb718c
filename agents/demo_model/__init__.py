"""The bundled demo model: its reasoning grammar, corpus, tokenizer, training and scores."""
