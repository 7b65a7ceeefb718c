-- Migration 10: a prompt in its parts, so that one that lies in no folder any more can be built again.

CREATE TABLE prompt_sources ( -- The parts of a prompt that are its own; between them `prompts.text` holds the data that it shows.
    sha256 VARCHAR PRIMARY KEY, -- As in `prompts`; a prompt of the time before this table has no row.
    source VARCHAR NOT NULL, -- The template's text.
    settings VARCHAR NOT NULL -- What stood in the `.toml` beside it; empty without one.
);
