"""What outweighs any time that a placement may take, in seconds."""

MISS = 1e5  # of an objective
DOUBT = 1e9  # whoever broke under the request is the last resort
