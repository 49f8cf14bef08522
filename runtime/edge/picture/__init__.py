"""Any picture file to the image that the model sees."""
