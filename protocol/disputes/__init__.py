"""Who is at fault when a buyer complains or a seller refuses."""
