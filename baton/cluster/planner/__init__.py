"""How many workers of each role a cluster needs: before there is one, and while it serves. Decisions are
pure; what is measured comes in, what is to be done goes out.
"""
