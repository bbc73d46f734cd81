"""The nouns: what a host did (events), what it meant (facts), what is raised (alerts). Imports nothing of ours."""
