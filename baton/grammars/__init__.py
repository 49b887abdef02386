"""Grammars of structured output as llguidance compiles them: the gateway checks with it, workers
mask with it. Without torch.
"""
