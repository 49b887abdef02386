"""A request's life in the cluster: in line, placed, answered, gone on with elsewhere."""
