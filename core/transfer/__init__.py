"""Moving content between a client and the storage nodes: splitting, hashing, windows of chunks in flight, retries,
progress."""
