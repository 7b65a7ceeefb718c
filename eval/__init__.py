"""ReasonKnee-Bench: how well vision-language models localise and grade (not built yet)."""
