"""Bounds that no setting can move. Without pillow, for those who only check settings."""

MOST_PIXELS = 89_478_485  # from here on pillow itself takes a file for a decompression bomb
