"""Who is let into the line, who goes next, and when the others may come back. Pure: every moment is
handed in, in seconds on one clock, so that a simulator can run it too.
"""
