"""Files of pretrained weights: read without running anything, recognised by names and shapes, converted."""
