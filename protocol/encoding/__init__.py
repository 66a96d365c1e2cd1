"""Messages as bytes: canonical, as Flower records, and streamed."""
