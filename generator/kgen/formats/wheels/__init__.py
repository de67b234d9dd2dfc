"""Resolution -> closed, hashed, judged lock. Existing resolvers do the closing; kgen decides what they may choose."""
