"""Features of images, their signatures, and how near they are to each other."""
