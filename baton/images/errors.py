"""What is wrong with an image."""


class ImageError(ValueError):
    """`str(error)` goes on a sentence that names the image: "it ..."."""
