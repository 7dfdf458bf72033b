"""DAME's library: durable, replicated, versioned artifacts on a Ray cluster."""
