"""Files as servers have them: asked for by ranges, read as archives, kept in a cache."""
