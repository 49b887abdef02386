"""What gateway and workers share of images: which files are read, and how many tokens they become."""
