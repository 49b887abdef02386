"""Workers as actors of Ray. Only `environment` and `settings` may be imported before it is known that Ray
is installed.
"""
